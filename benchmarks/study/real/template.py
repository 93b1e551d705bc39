"""The words of a page about somebody's pictures that no measurement changes."""

PAGE = """# The study: Mix-of-Show's claims, on these pictures

Written by `make study` from `study.json` beside it. Base: `{base}`. The sheets below show private pictures.

{concepts}

{rivals}. What takes long is measured with {subset} of the {names}. Every method tunes with its own recipe
and one seed. {prompts} prompts a concept change the place, the company, an accessory and the style; pictures
of each: {each}, in {steps} steps, from the same seeds for everybody.

*Identity* is the mean cosine to the concept's own pictures ({identity}), *text* that to the prompt, with the
class word for the concept ({text}). *Kept* is identity after a fusion over identity before, with the same
prompts and seeds. All intervals hold with a probability of 95 %: concepts and prompts are resampled together,
so they tell of other concepts and prompts of this kind, not of other seeds of tuning.

Own pictures, each against all others: {judges}.

## Q1: is ED-LoRA as good as other methods, and where is the identity?

{methods}

![Identity and text alignment of every method](images/methods.png)

![One concept of each group by every method](images/methods-pictures.png)

Asked for, from left to right: {asked_examples}

## Q2: what does a fusion keep?

{fusion}

![Identity kept, text alignment and drift by number of concepts](images/fusion.png)

![The same prompts before and after](images/fusion-pictures.png)

Asked for, from left to right: {asked_fusions}

### Where identity goes

What is kept by our rule, by what a prompt asks for, and experiments with the same sets of {lost_of}:
*no company in texts* leaves out texts with company and accessories from what a server learns from;
*company and accessories in pictures* draws four of its eight pictures with them; *cut to one rank* leaves
each adapter its strongest direction, before and after; *with the concept's own* layers of a kind, the fused
model has a concept's own adapters there: what comes back was lost in these.

{lost}

## Q3: do regions put everybody where they belong?

{regions}

## Q4: what is each part of ED-LoRA worth?

The same concepts, tuned with one part taken away each, then fused in sets of four. Attention is regularised
by masks (`NAME.mask.png` beside a picture): without any, that part changes nothing.

{parts}

![Identity with and without each part](images/parts.png)

![The same prompts with and without each part](images/parts-pictures.png)

## Q5: where does it break?

The concepts that lose most in the largest fusion:

{losers}

![Those that lose most](images/losers.png)
"""

REGIONS = """{layouts} layouts for each number of concepts, side by side. A box is nearest to its own when its
crop is more like that concept's pictures than like anybody else's.

{table}

![Each in its box, identity in the box, and what is kept of it](images/regions.png)

![The same layouts in every way](images/regions-pictures.png)

Asked for, from left to right: {asked}"""

NO_REGIONS = "Not drawn: it takes two characters or objects, and a base with cross-attention."
