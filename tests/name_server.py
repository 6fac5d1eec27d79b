"""A name server on loopback that knows TXT records, for tests of what the DNS says."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


@contextlib.contextmanager
def name_server(records: Mapping[str, Sequence[str]]) -> Iterator[int]:
    """The UDP port of a server that has `records`: name without final dot → texts as zone files write them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as place:
        place.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(place, records))
        thread.start()
        try:
            yield place.getsockname()[1]
        finally:
            place.sendto(b"", place.getsockname())  # the end
            thread.join()


def _serve(place: socket.socket, records: Mapping[str, Sequence[str]]) -> None:
    while True:
        asked, client = place.recvfrom(4096)
        if not asked:
            return
        query = dns.message.from_wire(asked)
        name = query.question[0].name
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        texts = records.get(name.to_text(omit_final_dot=True))
        if texts is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif texts:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *texts))
        place.sendto(response.to_wire(), client)
