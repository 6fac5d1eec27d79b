"""What can be used of a file with mistakes, so that no mistake hides another one.

An entry with a mistake is left out as a whole: what is half there would be judged by what is missing.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from core.yaml_files import Document
from core.yaml_mistakes import Place

ModelT = TypeVar("ModelT", bound=BaseModel)


def sound_part(model: type[ModelT], document: Document) -> ModelT:
    """`document` as a `model` of what is right in it, for checks of how its sections fit together.

    A section that cannot be used has its default. One that is required is empty where it lists entries by name; of
    another kind it is not there at all, so that no check may look at it.
    """
    content = _without_mistakes(model, document)
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if info.is_required() and get_origin(info.annotation) is dict:
            values[name] = {}
        if (info.alias or name) in content:
            try:
                values[name] = TypeAdapter(info.rebuild_annotation()).validate_python(content[info.alias or name])
            except ValidationError:
                continue
    return model.model_construct(**values)


def _without_mistakes(model: type[BaseModel], document: Document) -> dict[str, Any]:
    content: dict[str, Any] = deepcopy(document.content) if isinstance(document.content, dict) else {}
    for place in (*_mistaken(model, content), *document.judged):
        if place:
            _leave_out(content, _entry(model, place))
    return content


def _mistaken(model: type[BaseModel], content: Mapping[str, Any]) -> Iterator[Place]:
    try:
        model.model_validate(content)
    except ValidationError as error:
        yield from (detail["loc"] for detail in error.errors(include_url=False, include_context=False))


def _entry(model: type[BaseModel], place: Place) -> Place:
    """What is left out for a mistake at `place`: the entry of the first mapping of names on the way there, else the key
    of its section."""
    annotation: Any = model
    for depth, part in enumerate(place):
        if get_origin(annotation) is dict:
            return place[: depth + 1]
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        info = next((info for name, info in annotation.model_fields.items() if part in (name, info.alias)), None)
        annotation = info.annotation if info is not None else None
    return place[:2]


def _leave_out(content: dict[Any, Any], place: Place) -> None:
    """What stands at `place` is gone, or the list that holds it."""
    *above, last = place
    for part in above:
        if not isinstance(content.get(part), dict):
            last = part
            break
        content = content[part]
    content.pop(last, None)
