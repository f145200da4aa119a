"""An explanation as a person would say it."""

from typing import Any

Answer = dict[str, Any]


def sentences(patient: str, answer: Answer) -> list[str]:
    """The answer as a person would say it."""
    return [
        *_where(patient, answer),
        *_advice(answer),
        *(_alert_sentence(alert) for alert in answer["alerts"]),
        *_pending(answer),
        *_why_not_sentences(answer),
    ]


def _where(patient: str, answer: Answer) -> list[str]:
    if answer["state"] is None:
        return [f"{patient} has no state: no referral is known."]
    text = f"{patient} is in {_words(answer['state'])} since {_time(answer['since'])}"
    if answer["decided_by"]:
        who = answer["decided_by"]
        text += f", decided by {who['name']} ({_words(who['role'])})"
    elif answer["basis"] == "rule":
        text += f", moved by rule {answer['rule']}"
    lines = [f"{text}."]
    if answer.get("rule"):
        lines.append(f"It followed rule {answer['rule']}{_because(answer)}.")
    if answer.get("exceptions"):
        lines.append(f"Noted as exceptions: {', '.join(answer['exceptions'])}.")
    if answer.get("override"):
        lines.append(f"A guard was overridden: {answer['override']}.")
    return lines


def _because(entry: Answer) -> str:
    inputs = ", ".join(f"{name} {_value(value)}" for name, value in (entry["inputs"] or {}).items())
    threshold = f"; threshold {entry['threshold']}" if entry.get("threshold") else ""
    source = f" ({entry['source']})" if entry.get("source") else ""
    return f": {inputs}{threshold}{source}" if inputs else f"{threshold}{source}"


def _advice(answer: Answer) -> list[str]:
    held = answer["recommended"]
    if held is None:
        return ["Nothing is recommended."]
    how = "Urgently recommended" if held["urgency"] == "urgent" else "Recommended"
    also = f" Also in favor: {', '.join(held['supporting'])}." if held["supporting"] else ""
    what = f"{how} since {_time(held['since'])}: {_words(held['to'])}"
    return [f"{what}, because {held['title']}{_because(held)}.{also}"]


def _alert_sentence(alert: Answer) -> str:
    return (
        f"{alert['severity'].capitalize()} alert since {_time(alert['since'])}: "
        f"{_words(alert['alert'])}, because {alert['title']}{_because(alert)}."
    )


def _pending(answer: Answer) -> list[str]:
    lines = []
    if answer["waiting"]:
        held = answer["waiting"]
        lines.append(
            f"A decision for {_words(held['to'])} ({_words(held['role'])}) waits until "
            f"{_time(held['until'])} for: {', '.join(held['unmet'])}."
        )
    if answer["due"]:
        first = answer["due"][0]
        lines.append(f"Looked at next: {first['rule']} on {_time(first['at'])}.")
    return lines


def _why_not_sentences(answer: Answer) -> list[str]:
    asked = answer.get("why_not")
    if asked is None:
        return []
    if not asked["path"]:
        return ["There is no way there from here, or the patient is there already."]
    lines = [f"The way there: {' → '.join(_words(state) for state in asked['path'])}."]
    for each in asked["unmet"]:
        needed, value = each["needed"], _value(each["value"])
        lines.append(f"Missing for {each['guard']}: {needed}; now {value}.")
    if not asked["unmet"]:
        lines.append("Nothing is missing: a clinician may decide it.")
    return lines


def _words(name: str) -> str:
    return name.replace("_", " ")


def _time(instant: str) -> str:
    return instant[:16].replace("T", " ") + " UTC"


def _value(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(each)}" for name, each in value.items()) or "unknown"
    if isinstance(value, list):
        return ", ".join(_value(each) for each in value) or "none"
    return str(value)
