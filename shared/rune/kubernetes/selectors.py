"""Label selectors: which objects one takes, and how it is sent to the API."""

from collections.abc import Mapping

from rune.llm.fields import as_list, as_object, read_text


def to_query(selector: Mapping[str, object]) -> str:
    """Return a selector, `matchLabels` and `matchExpressions` or plain labels, as the API takes it in a query."""
    terms = [f"{key}={value}" for key, value in _labels(selector).items()]
    for each in as_list(selector.get("matchExpressions")):
        expression = as_object(each)
        key, values = (
            read_text(expression, "key"),
            ",".join(str(one) for one in as_list(expression.get("values"))),
        )
        match read_text(expression, "operator"):
            case "In":
                terms.append(f"{key} in ({values})")
            case "NotIn":
                terms.append(f"{key} notin ({values})")
            case "Exists":
                terms.append(key)
            case "DoesNotExist":
                terms.append(f"!{key}")
    return ",".join(terms)


def selects(selector: Mapping[str, object], labels: Mapping[str, object]) -> bool:
    """Return whether a selector takes an object with these labels; an empty one takes all."""
    if any(labels.get(key) != value for key, value in _labels(selector).items()):
        return False
    return all(_holds(as_object(each), labels) for each in as_list(selector.get("matchExpressions")))


def _labels(selector: Mapping[str, object]) -> Mapping[str, object]:
    if "matchLabels" in selector or "matchExpressions" in selector:
        return as_object(selector.get("matchLabels"))
    return selector


def _holds(expression: Mapping[str, object], labels: Mapping[str, object]) -> bool:
    key, values = read_text(expression, "key"), as_list(expression.get("values"))
    match read_text(expression, "operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
