"""The `options` of a request: how a model is loaded, and where its answer ends."""

from collections.abc import Mapping
from dataclasses import dataclass

from local.simulators.errors import ServiceError
from local.simulators.ollama.models import ModelCard
from local.simulators.ollama.runners import LoadOptions
from local.simulators.ollama.settings import OllamaSettings

SMALLEST_CONTEXT_TOKENS = 4

_LOAD_TIME = ("num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "draft_num_predict")
_INTEGERS = {
    *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict"),
    *("num_keep", "num_predict", "seed", "top_k", "repeat_last_n"),
}
_FLOATS = {
    *("temperature", "top_p", "min_p", "typical_p", "repeat_penalty"),
    *("presence_penalty", "frequency_penalty"),
}


@dataclass(frozen=True, slots=True)
class AskOptions:
    """The options that the simulator obeys.

    Attributes
    ----------
    output_limit_tokens
        `num_predict`; None for no limit.
    stop
        Texts that end the answer and are not sent.
    seed
        Determines the words of the answer; None, as temperature 0, gives the usual ones.
    """

    load: LoadOptions
    output_limit_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None = None


def read_options(options: Mapping[str, object], card: ModelCard, settings: OllamaSettings) -> AskOptions:
    """Return the options; unknown names are ignored.

    Raises
    ------
    ServiceError
        500: a value has the wrong type. The real server answers with 500 too.
    """
    for name, value in options.items():
        _check_type(name, value)
    context_tokens = _integer(options.get("num_ctx")) or settings.default_context_tokens
    limit_tokens = _integer(options.get("num_predict"))
    stop = options.get("stop")
    return AskOptions(
        load=LoadOptions(
            min(max(context_tokens, SMALLEST_CONTEXT_TOKENS), card.trained_context_tokens),
            tuple((name, options[name]) for name in _LOAD_TIME if options.get(name) is not None),
        ),
        # Zero and below mean no limit.
        output_limit_tokens=limit_tokens if limit_tokens > 0 else None,
        stop=tuple(str(text) for text in stop) if isinstance(stop, list) else (),
        seed=_seed(options),
    )


def _seed(options: Mapping[str, object]) -> int | None:
    # In Ollama a seed below 0 is random; here the answer is then the usual one.
    seed = options.get("seed")
    is_chosen = isinstance(seed, int) and seed >= 0 and options.get("temperature") != 0
    return _integer(seed) if is_chosen else None


def _integer(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _check_type(name: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    checks = (
        (name in _INTEGERS, is_number, "integer"),
        (name in _FLOATS, is_number, "float32"),
        (name == "use_mmap", isinstance(value, bool), "boolean"),
        (name == "stop", isinstance(value, list), "array"),
    )
    for is_meant, is_good, type_name in checks:
        if is_meant and not is_good and value is not None:
            raise ServiceError(500, f'option "{name}" must be of type {type_name}')
