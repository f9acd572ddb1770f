"""Translates typer's messages about wrong command lines into the reader's language.

Its messages are matched as they are, since it has no other way to be told a language; one that no pattern knows is
shown in English.
"""

from __future__ import annotations

import re

from pearlstreet.base.text import Text, text

MESSAGES = {
    r"No such command '(?P<name>.*)'\. Did you mean (?P<near>.*)\?": "There is no command {name}; did you mean {near}?",
    r"No such command '(?P<name>.*)'\.": "There is no command {name}",
    r"No such option: (?P<name>\S+) \(Possible options: (?P<near>.*)\)": "There is no option {name}; did you mean {near}?",
    r"No such option: (?P<name>\S+) Did you mean (?P<near>.*)\?": "There is no option {name}; did you mean {near}?",
    r"No such option: (?P<name>\S+)": "There is no option {name}",
    r"Missing command\.": "A command is missing",
    r"Missing argument '(?P<name>.*)'\.?": "{name} is missing",
    r"Missing option '(?P<name>.*)'\.?": "The option {name} is missing",
    r"Missing parameter: (?P<name>.*)": "{name} is missing",
    r"Got unexpected extra arguments?(?:\(s\))? \((?P<words>.*)\)": "This is too much: {words}",
    r"Option '(?P<name>.*)' requires (?:an argument|\d+ arguments)\.": "The option {name} needs a value",
    r"Option '(?P<name>.*)' does not take a value\.": "The option {name} takes no value",
    r"Invalid value for '(?P<name>.*)': '(?P<value>.*)' is not a valid int(?:eger)?(?: range)?\.": "{name} must be a whole number, not {value}",
    r"Invalid value for '(?P<name>.*)': '(?P<value>.*)' is not a valid float(?: range)?\.": "{name} must be a number, not {value}",
    r"Invalid value for '(?P<name>.*)': Input should be a valid integer.*": "{name} must be a whole number",
    r"Invalid value for '(?P<name>.*)': Input should be a valid number.*": "{name} must be a number",
    r"Invalid value for '(?P<name>.*)': Input should be greater than or equal to (?P<least>\S+)": "{name} must be at least {least}",
    r"Invalid value for '(?P<name>.*)': Input should be less than or equal to (?P<most>\S+)": "{name} must be at most {most}",
}


def explained(message: str) -> Text:
    """Return Typer's message as a translatable text."""
    for pattern in MESSAGES:
        found = re.fullmatch(pattern, message, re.DOTALL)
        if found is not None:
            return text(MESSAGES[pattern], **found.groupdict())
    return text("{message}", message=message)
