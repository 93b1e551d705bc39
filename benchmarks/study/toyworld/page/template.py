"""The words of `docs/study.md` that no measurement changes."""

PAGE = """# The study: Mix-of-Show's claims, repeated on toyworld

Written by `make study` from [study.json](../benchmarks/results/study.json); change `benchmarks/study`, not
this page. `make study IMAGES=… BASE=… ENCODER=…` asks the same of [your own
pictures](benchmarks.md#study-the-papers-claims-repeated).

{concepts} concepts that toyworld was never trained on, in three groups as in the paper: *characters* (eight
of them robots, so that half of every fused set is of one class), *objects* and *scenes*, which are of kinds
that toyworld has never seen at all. Eight pictures each, with captions, with masks where there is a figure;
every method tunes with its own recipe and one seed. {prompts} prompts a concept change the place, the
company, an accessory and the framing; one picture each, from the same seeds for everybody. What takes long
is measured with {subset} of them, four of each group.

*Identity* is the mean cosine to the private pictures, read where the prompt puts the concept. *Text* is the
share of what a prompt asks for beside the concept that is read: place; kind, colour and
accessory of company; how many there are. *Kept* is identity after a fusion over identity before, with the
same prompts and seeds. All intervals hold with a probability of 95 %: concepts and prompts are resampled
together, so they tell of other concepts and prompts of this kind, not of other seeds of tuning.

toyworld has no words for objects and scenes: objects start from its word for anybody, scenes from a place.
That and its size make them hard: nobody should compare groups with each other, only methods within them.

{encoders}

Objects and scenes are read by a small encoder that the study trains for itself, from toyworld's, on
drawings of the same kinds in other colours; none of the study's own was among them.

## Q1: is ED-LoRA as good as other methods, and where is the identity?

{methods}

![Identity and text alignment of every method](images/study-methods.png)

![One concept of each group by every method](images/study-methods-pictures.png)

Asked for, from left to right: {asked_examples}

## Q2: what does a fusion keep?

Sets of 2, 4, 8 and 16; half of each set is of one class, of two concepts both. Every rule that fedshow
ships, as its paper has it; `lbfgs` is the paper's own solver, `gradient` our exact one.

{fusion}

![Identity kept, text alignment and drift by number of concepts](images/study-fusion.png)

![The same prompts before and after](images/study-fusion-pictures.png)

Asked for, from left to right: {asked_fusions}

### Where identity goes

What is kept by our rule, by what a prompt asks for, and experiments with the same sets of {lost_of}. A server
learns what layers read from eight pictures of each concept by itself in some place, and, for what reads text,
from many texts, most of them with company or accessories in all colours. *No company in texts* leaves those
out; *company and accessories in pictures* draws four of the eight with them (other ones than are judged).
*Cut to one rank* leaves each adapter its strongest direction, before and after. *With the concept's own*
layers of a kind, the fused model has a concept's own adapters there: what comes back was lost in these.

{lost}

## Q3: do regions put everybody where they belong?

{layouts} layouts for each number of concepts; boxes lie apart, pictures are as wide as they need, the five
characters are those of the [sampling benchmark](benchmarks.md#sampling-several-concepts-in-one-picture).
Attributes of somebody who is not there count as not bound.

{regions}

![Objects present, attributes bound and identity kept](images/study-regions.png)

![The same layouts in every way](images/study-regions-pictures.png)

Asked for, from left to right: {asked_regions}

## Q4: what is each part of ED-LoRA worth?

The same concepts, tuned with one part taken away each, then fused in sets of four.

{parts}

![Identity with and without each part](images/study-parts.png)

![The same prompts with and without each part](images/study-parts-pictures.png)

Asked for, from left to right: {asked_examples}

## Q5: where does it break?

{failures}

![Failures in numbers](images/study-failures.png)

![What came](images/study-failures-pictures.png)

Asked for in the row of words that the base never read, from left to right: {asked_failures}
"""
