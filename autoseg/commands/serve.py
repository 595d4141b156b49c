"""The command `serve`: models behind a port."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    device_option,
    set_option,
    workspace_of,
    workspace_option,
)
from autoseg.errors import ResourceError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-m", "--model", nargs="+", type=Path, metavar="BUNDLE", help="bundles, without workspace"
    )
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="(default: every one)")
    dataset_option(parser)
    workspace_option(parser)
    parser.add_argument("-c", "--configuration", metavar="CONFIG", help="(default: the best known)")
    parser.add_argument("--size", metavar="SIZE", help="(default: the one that was trained)")
    parser.add_argument("--speed", choices=("accurate", "balanced", "fast", "localise"))
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="where to listen; others than this machine need a token (default: 127.0.0.1)",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=9051, metavar="N", help="(default: 9051)")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the token that clients must send"
    )
    parser.add_argument(
        "--no-token", action="store_true", help="everybody who reaches the address may ask"
    )
    parser.add_argument(
        "--allow-host", nargs="+", default=[], metavar="NAME",
        help="names besides localhost that requests may address, such as a tunnel's",
    )  # fmt: skip
    parser.add_argument(
        "--queue", type=int, default=16, metavar="N", help="images that may wait (default: 16)"
    )
    parser.add_argument(
        "--deadline", default="10m", metavar="TIME",
        help="10s, 2m: for an image, its waiting included (default: 10m)",
    )  # fmt: skip
    parser.add_argument(
        "--trust", action="store_true", help="let a model import functions that its author named"
    )
    set_option(parser, "mirror=off")
    device_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    missing = [name for name in ("fastapi", "h11") if find_spec(name) is None]
    if missing:
        fact = f"the service needs {' and '.join(missing)}, not installed"
        raise ResourceError(fact, remedy="pip install 'autoseg[serve]'")
    from autoseg.serving.model import load_model
    from autoseg.serving.serve import serve

    serve(
        lambda: load_model(
            workspace_of(options),
            dataset=options.dataset,
            configuration=options.configuration,
            size=options.size,
            folds=options.folds,
            bundles=options.model,
            speed=options.speed,
            settings=options.settings,
            device=options.device,
            trust=options.trust,
        ),
        host=options.host,
        port=options.port,
        token_file=options.token_file,
        no_token=options.no_token,
        hosts=options.allow_host,
        queue=options.queue,
        deadline=options.deadline,
    )
    return ""
