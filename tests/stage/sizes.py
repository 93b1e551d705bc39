"""How many weights the parts of well-known bases have."""

MILLION = 10**6
SD15_WEIGHTS = {"text_encoder": 123 * MILLION, "unet": 860 * MILLION, "vae": 84 * MILLION}
SDXL_WEIGHTS = {
    "text_encoder": 123 * MILLION,
    "text_encoder_2": 695 * MILLION,
    "unet": 2567 * MILLION,
    "vae": 84 * MILLION,
}
