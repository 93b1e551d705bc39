"""`make study`: the claims of Mix-of-Show repeated: questions, each with table and figure.

On toyworld, whose page is `docs/study.md`; or, with `--images`, on anybody's pictures, base and encoder.
Raw results lie in the work folder; what is there is not measured again, so that it may be stopped at any
time. `--part` answers one question and writes it beside them; the page is written when all are answered.
"""

import argparse
from pathlib import Path

from benchmarks.report import print_table, write_result
from benchmarks.study.real.study import STEPS, Choice, of_images
from benchmarks.study.study import Study
from benchmarks.study.toyworld.study import of_toyworld
from fedshow.device import choose_device
from fedshow.errors import FedshowError

WORK = Path("build/bench-study")
OWN_WORK = Path("build/bench-study-images")

GATES = {"kept_ed_lora_gradient": 0.97, "order_holds": 1.0}
LIMITS = {"kept_ed_lora_average": 0.93, "seconds": 9000}


def main() -> None:
    """Measures what the work folder lacks; writes figures and page when nothing does."""
    parser = _parser()
    args = parser.parse_args()
    own = args.images is not None
    if own and not (args.base and args.encoder):
        parser.error("--images needs --base and --encoder, too")
    try:
        study = _own(args) if own else _toyworld(args)
        parts = [args.part] if args.part else list(study.questions)
        if unknown := set(parts) - set(study.questions):
            parser.error(f"--part {unknown.pop()}: here there are {', '.join(study.questions)}")
        study.answer(parts)
        _write(study, for_everybody=not own and not args.tiny)
    except FedshowError as error:
        raise SystemExit(f"error: {error}") from None


def _toyworld(args: argparse.Namespace) -> Study:
    work = args.work or WORK
    device = choose_device(args.device)
    return of_toyworld(work / "tiny" if args.tiny else work, device, args.workers, args.tiny)


def _own(args: argparse.Namespace) -> Study:
    work, device = args.work or OWN_WORK, choose_device(args.device)
    choice = Choice(
        args.images,
        args.base,
        args.encoder,
        args.identity,
        args.each,
        args.steps,
        args.tiny,
    )
    workers = 0 if device.startswith("cuda") else args.workers
    return of_images(choice, work / "tiny" if args.tiny else work, device, workers)


def _write(study: Study, for_everybody: bool) -> None:
    """Results into the work folder; those that are `for_everybody` into the project, too."""
    page = study.page() if study.is_whole() else None
    figures = study.figures()
    print_table(figures, GATES, LIMITS)
    write_result("study", figures, study.bench.work)
    if page and for_everybody:
        write_result("study", figures)
    print(page or f"in {study.bench.work}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="raw results, kept between runs")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--part", help="answer only this question")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--tiny", action="store_true", help="a slice, to see that it runs")
    own = parser.add_argument_group("on pictures of your own")
    own.add_argument("--images", type=Path, help="folder of GROUP/CLASS/NAME, each with pictures")
    own.add_argument("--base", help="base model: name or folder")
    own.add_argument("--encoder", type=Path, help="CLIP folder: reads texts, and identity")
    own.add_argument("--identity", type=Path, help="CLIP, DINOv2 or ArcFace instead, for identity")
    own.add_argument("--each", type=int, default=1, help="pictures of each prompt")
    own.add_argument("--steps", type=int, default=STEPS, help="denoising steps")
    return parser


if __name__ == "__main__":
    main()
