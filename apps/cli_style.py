"""`striate style` and `striate texture`: a picture painted in the style of others, and more of a texture."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from ..core.checks import SaveError, StriateError, UsageError, unknown
from .cli_classify import numbers
from .cli_detect import Device, Json, check_device
from .cli_segment_train import sides
from .console import INTERRUPTED, emit, note, stderr
from .defaults import defaults
from .runs import given
from .training_bar import duration

if TYPE_CHECKING:
    from ..style import Painting, Progress

TEXTURE = defaults("style/texture.py", "TextureSynthesis.__init__")
MAKE = {
    **TEXTURE,
    **defaults("style/transfer.py", "StyleTransfer.__init__"),
    "features": defaults("style/features.py", "load_features")["name_or_path"],
}
EVERY = 5
"""Steps between two looks at the losses."""


def _option(name: str, help: str, *flags: str, shown: str | None = None) -> Any:
    """An option whose default is the Python API's: it is shown here, and applied there."""
    return typer.Option(*flags, help=help, show_default=shown or MAKE[name])


def _both(name: str) -> str:
    return f"{MAKE[name]}, of textures {TEXTURE[name]}"


Out = Annotated[Path, typer.Option("--out", "-o", help="Picture to write: .png or .tif (also 16 bits), .jpg, .webp.")]
Bits = Annotated[int, typer.Option(help="Of a channel, 8 or 16.")]
State = Annotated[
    Path | None, typer.Option(help="Where an unfinished painting is kept; if it is there, go on with it.")
]
Steps = Annotated[int | None, _option("steps", "At the coarsest scale; finer ones take fewer.")]
Smallest = Annotated[
    int | None, _option("smallest", "Longer side of the coarsest scale; 0: one scale.", shown=_both("smallest"))
]
Tv = Annotated[float | None, _option("tv_weight", "Of smoothness.", shown=_both("tv_weight"))]
Features_ = Annotated[str | None, _option("features", "vgg-distilled, vgg19, vgg16, squeezenet1.1, or a file.")]
Pooling = Annotated[str | None, _option("pooling", "max or average.", shown="the network's own")]
Normalized = Annotated[bool | None, typer.Option("--normalized", help="Weigh channels to mean 1 over the styles.")]
Layers = Annotated[str | None, _option("style_layers", "As relu1_1,relu2_1.", "--layers", shown="the features' own")]
Optimizer = Annotated[str | None, _option("optimizer", "lbfgs or adam.")]
Rate = Annotated[float | None, _option("rate", "Of the optimizer.", shown="its own")]
Tile = Annotated[int | None, _option("tile", "Side of tiles.", shown="tiles where the memory asks for them")]
Memory = Annotated[float | None, _option("memory_gb", "That may be taken.", shown="a share of what is free")]
Precision = Annotated[str | None, _option("precision", "Of the maps: fp32, bf16, or auto, the faster one.")]
Seed = Annotated[int | None, _option("seed", "Of the noise.")]


def style(
    content: Annotated[str, typer.Argument(help="The picture to paint.")],
    styles: Annotated[list[str], typer.Argument(help="Pictures in whose style, or strokes, mosaic, woodcut.")],
    out: Out,
    weights: Annotated[str | None, typer.Option(help="Of several styles, as 2,1.", show_default="equal")] = None,
    mask: Annotated[
        list[str] | None, typer.Option(help="Where a style goes, white on black; one for each, in order.")
    ] = None,
    size: Annotated[int | None, _option("size", "Longer side of the painting; 0: the content's own.")] = None,
    content_weight: Annotated[float | None, _option("content_weight", "Of the content.")] = None,
    style_weight: Annotated[float | None, _option("style_weight", "Of the style.")] = None,
    tv_weight: Tv = None,
    strength: Annotated[float | None, _option("strength", "From 0, the content, to 1, the style.")] = None,
    style_scale: Annotated[float | None, _option("style_scale", "Size of the style pictures.")] = None,
    init: Annotated[str | None, _option("init", "content, noise or style.")] = None,
    colours: Annotated[str | None, _option("colours", "style; or the content's: luminance, affine, histogram.")] = None,
    steps: Steps = None,
    smallest: Smallest = None,
    features: Features_ = None,
    pooling: Pooling = None,
    normalized: Normalized = None,
    layers: Layers = None,
    optimizer: Optimizer = None,
    rate: Rate = None,
    tile: Tile = None,
    memory_gb: Memory = None,
    precision: Precision = None,
    seed: Seed = None,
    bits: Bits = 8,
    state: State = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Paint a picture in the style of others. Ctrl-C ends it and keeps the picture so far."""
    from ..core.images import load_image
    from ..style import StyleTransfer

    asked = locals() | {"style_layers": _names(layers)}
    shares = None if weights is None else numbers("weights", weights)

    def transform(transfer: StyleTransfer, **look: Any) -> Painting:
        masks = [load_image(path).max(2) for path in mask] if mask else None
        return transfer.transform(content, masks=masks, **look)

    _run("style", StyleTransfer, asked, styles, shares, transform)


def texture(
    textures: Annotated[list[str], typer.Argument(help="Pictures of a texture, or strokes, mosaic, woodcut.")],
    out: Out,
    size: Annotated[str, typer.Option(help="Of the picture to make, height first.")] = "512x512",
    texture_scale: Annotated[float | None, _option("texture_scale", "Size of the texture's pictures.")] = None,
    tv_weight: Tv = None,
    steps: Steps = None,
    smallest: Smallest = None,
    features: Features_ = None,
    pooling: Pooling = None,
    normalized: Normalized = None,
    layers: Layers = None,
    optimizer: Optimizer = None,
    rate: Rate = None,
    tile: Tile = None,
    memory_gb: Memory = None,
    precision: Precision = None,
    seed: Seed = None,
    bits: Bits = 8,
    state: State = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Make more of a texture, of any size. Ctrl-C ends it and keeps the picture so far."""
    from ..style import TextureSynthesis

    asked = locals() | {"layers": _names(layers)}
    height, width = sides("size", size)

    def transform(synthesis: TextureSynthesis, **look: Any) -> Painting:
        return synthesis.transform(height, width, **look)

    _run("texture", TextureSynthesis, asked, textures, None, transform)


def _run(
    task: str,
    made: Callable[..., Any],
    asked: dict[str, Any],
    pictures: list[str],
    shares: Sequence[float] | None,
    transform: Callable[..., Painting],
) -> None:
    """Paint, and write what came out.

    Args:
        task: Of the JSON object.
        made: What paints; of what was asked it takes the names that it knows, and has defaults for those not given.
        asked: The command's options by name.
        pictures: Names of patterns, or paths, to fit.
        shares: Of each, or None.
        transform: Calls it with what it needs beside `on_step`, `every` and `state`.
    """
    out, bits, state = asked["out"], asked["bits"], asked["state"]
    check_device(asked["device"])
    check_out(out, bits)
    own = {name: asked[name] for name in inspect.signature(made).parameters if name in asked}
    keywords = {**given(**own), **({"size": None} if "size" in own and asked["size"] == 0 else {})}
    painter = made(**keywords).fit([picture_of(one) for one in pictures], shares)
    with painting_bar() as on_step:
        painting = transform(painter, on_step=on_step, every=EVERY, state=_earlier(state))
    finish(task, painting, out, bits, state, asked["as_json"])


def check_out(out: Path, bits: int) -> None:
    """Refuse before the painting what could not be written after it: format, bits, folder.

    Raises:
        ImageError: An unknown format.
        UsageError: Bits that the format does not have.
        SaveError: A folder in its place, or none to put it into.
    """
    from ..style.painting import check_format

    check_format(out.suffix, bits)
    if out.is_dir() or not out.parent.is_dir():
        got = f"a folder: {out}" if out.is_dir() else f"no such folder: {out.parent}"
        raise SaveError("a file name in a folder that exists", got, "create the folder, or choose another --out")


def finish(task: str, painting: Painting, out: Path, bits: int, state: Path | None, as_json: bool) -> None:
    """Write the picture, then its state if it is not finished; print where. No work is lost to a full disk."""
    from ..core.atomic import previous_path
    from ..core.checkpoints import save_state

    try:
        file = painting.save(out, bits=bits)
    except StriateError:
        if state is not None:
            save_state(state, painting.state)
            note(f"the picture could not be written; to write it: the same command with --state {state}, another --out")
        raise
    if painting.notice:
        note(painting.notice)
    if state is not None and not painting.finished:
        save_state(state, painting.state)
        note(f"to go on: the same command with --state {state}")
    elif state is not None:
        for old in (state, previous_path(state)):  # or the next painting would take this one's middle for its own
            old.unlink(missing_ok=True)
    last = painting.losses[-1] if painting.losses else {}
    if as_json:
        fields = {"file": str(file), "finished": painting.finished, "notice": painting.notice, "losses": last}
        emit(task, **fields, settings=painting.settings)
    else:
        print(file)
    if not painting.finished:
        raise typer.Exit(INTERRUPTED if "as asked" in painting.notice else 1)


@contextmanager
def painting_bar() -> Iterator[Callable[[Progress], bool]]:
    """Give the callback for `on_step`: a bar on a terminal, and an end at the first Ctrl-C; the second one kills."""
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    console = stderr()
    columns = (
        TextColumn("{task.fields[size]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[left]}"),
    )
    try:
        with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("painting", total=1.0, size="", left="")

            def on_step(progress: Progress) -> bool:
                left = f"{duration(progress.eta_seconds)} left  loss {sum(progress.losses.values()):.4g}"
                size = f"{progress.height} x {progress.width}"
                bar.update(task, completed=progress.done, size=size, left=left)
                return bool(stopped)

            yield on_step
    finally:
        signal.signal(signal.SIGINT, before)


def picture_of(text: str) -> Any:
    """Return a drawn pattern for its name, and a path as it is.

    Raises:
        UsageError: neither a pattern nor a file: a name without a suffix.
    """
    from ..style.patterns import PATTERNS, pattern

    if text in PATTERNS:
        return pattern(text)
    if not Path(text).suffix and not Path(text).exists():
        raise unknown("style", text, PATTERNS)
    return text


def _names(layers: str | None) -> list[str] | None:
    if layers is None:
        return None
    names = [name.strip() for name in layers.split(",") if name.strip()]
    if not names:
        raise UsageError("names of layers between commas", repr(layers), "write --layers relu1_1,relu2_1")
    return names


def _earlier(state: Path | None) -> dict[str, Any] | None:
    """Return the state of an unfinished painting, where there is one."""
    from ..core.checkpoints import load_state

    if state is None or not state.exists():
        return None
    found, notice = load_state(state)
    if notice:
        note(notice)
    return found
