"""Why a tool has read nothing: a result for the model, never an exception of a job."""


class ToolError(Exception):
    """Nothing was read.

    Attributes
    ----------
    code
        Stable: `forbidden`, `not_found`, `bad_arguments`, `unknown_tool`, `refused`, `rejected`, `unavailable`,
        `too_large`.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
