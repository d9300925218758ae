"""What a configuration says of a backbone, asked of the class that it names, without building more than is needed."""

import copy
from typing import Any

from jsonargparse import ArgumentParser

from lm_lab.backbones import UNNAMED, Backbone, TransformersBackbone

Config = dict[str, Any]


def identify(config: Config) -> str:
    """The fingerprint of a backbone; errors as those of its class."""
    kind, settings = _named(config)
    return kind.identify(**settings)


def outline(config: Config) -> tuple[Config, bool]:
    """The configuration of the same without its weights, and whether it can stand on the meta device."""
    kind, settings = _named(config)
    given = config.get("init_args", {}) if "class_path" in config else config
    settings, static = kind.outline(given)
    return (config | {"init_args": settings} if "class_path" in config else settings), static


def _named(config: Config) -> tuple[type[Backbone], Config]:
    """The class, and the settings it would be built with."""
    named: list[tuple[type[Backbone], Config]] = []

    def note(kind: type[Backbone], /, **settings: Any) -> None:
        named.append((kind, settings))

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--backbone", type=Backbone, default=UNNAMED)
    parser.add_instantiator(note, Backbone)
    parser.instantiate(parser.parse_object({"backbone": copy.deepcopy(config)}))
    return named[0]


def add_backbone(parser: ArgumentParser) -> None:
    """Let a command take a backbone: a source of `transformers`, or a class with settings as --backbone.NAME VALUE."""
    parser.add_argument(
        "--backbone",
        type=Backbone | str,
        required=True,
        help="hub id, folder or configuration file; or a class, with settings as --backbone.NAME VALUE",
    )


def read(words: list[str]) -> Backbone:
    """A backbone from the words of a command line that belong to it alone."""
    parser = ArgumentParser(exit_on_error=False)
    add_backbone(parser)
    return built(parser.instantiate(parser.parse_args(words)).backbone)


def built(given: Backbone | str, **settings: Any) -> Backbone:
    """What a command was given; `settings` are for a model of `transformers`."""
    return TransformersBackbone(given, **settings) if isinstance(given, str) else given
