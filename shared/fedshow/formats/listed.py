"""Every format that fedshow writes or reads."""

from fedshow.formats.diffusers_lora import DIFFUSERS
from fedshow.formats.edlora import EDLORA
from fedshow.formats.embeddings import EMBEDDINGS
from fedshow.formats.format import Format
from fedshow.formats.kohya import KOHYA
from fedshow.formats.peft_folder import PEFT
from fedshow.formats.single_file import SINGLE_FILE

FORMATS: dict[str, Format] = {
    each.name: each for each in (DIFFUSERS, KOHYA, EDLORA, SINGLE_FILE, PEFT, EMBEDDINGS)
}
