import pytest

from rune.errors import ModelServerError, ServerOverloadedError
from rune.llm.failures import (
    MAX_EXCERPT_CHARS,
    Cause,
    Complaint,
    FailureContext,
    Wording,
    excerpt,
    make_error,
)

OURS = Wording("It", {Cause.MODEL_NOT_FOUND: "It lacks {model}."})


def sentence(cause: Cause | None, *, status: int | None = 418, model: str | None = "llama3") -> str:
    complaint = Complaint("Tea.", status, cause, hint="Wait.")
    return make_error(complaint, FailureContext(model), OURS).sentence


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_an_error_of_its_own_kind(cause: Cause) -> None:
    error = make_error(Complaint("Tea.", 418, cause), FailureContext("llama3"), OURS)

    assert isinstance(error, ModelServerError)
    assert type(error) is not ModelServerError
    assert error.sentence.startswith(("It ", "It,", "The "))
    assert "{" not in error.sentence


def test_cause_of_one_technology_has_its_own_sentence() -> None:
    assert sentence(Cause.MODEL_NOT_FOUND) == 'It lacks the model "llama3". Wait.'
    assert sentence(Cause.MODEL_NOT_FOUND, model=None) == "It lacks the model. Wait."


@pytest.mark.parametrize(
    ("cause", "status", "expected"),
    [
        (None, 418, "It refused the request (418). It said: Tea. Wait."),
        (Cause.REJECTED, None, "It refused the request. It said: Tea. Wait."),
        (Cause.OUT_OF_MEMORY, 500, 'It has too little memory for the model "llama3". It said: Tea. Wait.'),
        (Cause.CONTEXT_OVERFLOW, 400, 'The question is longer than the context of the model "llama3". Wait.'),
    ],
)
def test_a_cause_that_may_repeat_the_question_does_not_quote_the_server(
    cause: Cause | None, status: int | None, expected: str
) -> None:
    assert sentence(cause, status=status) == expected


def test_account_of_a_technology_is_named_within_a_sentence() -> None:
    complaint = Complaint("", 402)

    told = make_error(complaint, FailureContext(), Wording("The model server")).sentence
    assert told == "The account with the model server has no quota or money left."
    assert (
        make_error(complaint, FailureContext(), OURS).sentence
        == "The account with It has no quota or money left."
    )


@pytest.mark.parametrize("model", ["{quote}", "{0}", "\x1b[31m{server}"])
def test_model_s_name_is_text_and_no_template(model: str) -> None:
    assert model.removeprefix("\x1b") in sentence(Cause.LOADING, model=model)


def test_overload_keeps_the_wait_that_the_server_asked_for() -> None:
    error = make_error(Complaint("", 503), FailureContext(retry_after_seconds=9), OURS)

    assert isinstance(error, ServerOverloadedError)
    assert error.retry_after_seconds == 9


@pytest.mark.parametrize("length", [199, 200, 201, 100_000])
def test_excerpt_is_short_however_long_the_text_is(length: int) -> None:
    assert len(excerpt("x" * length)) == min(length, MAX_EXCERPT_CHARS)
