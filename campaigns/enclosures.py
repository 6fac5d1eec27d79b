"""The files that go with the messages of one version: encoded once, joined to each message that needs them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from delivery.message_bytes import EncodedFile, encoded_attachment, encoded_image
from templates.mailing import Mailing


@dataclass(frozen=True, slots=True)
class _Image:
    """An image, by the address under which the HTML shows it."""

    address: str  # cid:…
    content_type: str
    content: bytes = field(repr=False)
    part: EncodedFile


@dataclass(frozen=True, slots=True)
class Enclosures:
    """`attachments` go with every message; an image only with those that show it."""

    attachments: tuple[EncodedFile, ...] = ()
    _images: tuple[_Image, ...] = ()

    def images_in(self, html: str | None) -> tuple[EncodedFile, ...]:
        """The images that this HTML shows, each once: a condition may have left some out."""
        if html is None or not self._images:
            return ()
        return tuple(image.part for image in self._images if image.address in html)

    @property
    def marks(self) -> "Enclosures":
        """The same with a mark in place of each file: a few octets, which stand in no message."""
        attachments = tuple(EncodedFile(each.name, _mark(number, each)) for number, each in enumerate(self.attachments))
        first = len(attachments)
        images = tuple(
            replace(image, part=EncodedFile(image.part.name, _mark(number, image.part)))
            for number, image in enumerate(self._images, first)
        )
        return Enclosures(attachments, images)

    def put_into(self, content: bytes) -> bytes:
        """The message that was written with marks, with its files. One without marks stays as it is."""
        if self is not NO_ENCLOSURES:
            for number, part in enumerate((*self.attachments, *(image.part for image in self._images))):
                content = content.replace(_mark(number, part), part.octets)
        return content

    def page(self, html: str) -> str:
        """`html` with its images inside it, as a browser shows it without the mail."""
        for image in self._images:
            if image.address in html:
                encoded = base64.b64encode(image.content).decode()
                html = html.replace(image.address, f"data:{image.content_type};base64,{encoded}")
        return html


def _mark(number: int, part: EncodedFile) -> bytes:
    """A line between two bare LF: messages have none."""
    return f"\n[{number}: {part.name}]\n".encode()


NO_ENCLOSURES = Enclosures()


def enclosures_of(mailing: Mailing, contents: Mapping[str, bytes]) -> Enclosures:
    """The files of `mailing`, whose contents are given by digest."""
    if not (mailing.images or mailing.attachments):
        return NO_ENCLOSURES
    attachments = []
    for attachment in mailing.attachments:
        content = contents[attachment.asset.digest]
        attachments.append(encoded_attachment(attachment.name, attachment.asset.content_type(content), content))
    images = []
    for asset in {asset.digest: asset for asset in mailing.images}.values():
        content = contents[asset.digest]
        kind, content_id, name = asset.content_type(content), asset.content_id, asset.name.rpartition("/")[2]
        part = encoded_image(name, kind, content, content_id=content_id)
        images.append(_Image(f"cid:{content_id}", kind, content, part))
    return Enclosures(tuple(attachments), tuple(images))
