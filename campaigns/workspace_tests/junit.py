"""Results as JUnit's XML, which build servers read."""

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

from campaigns.workspace_tests.running import Result

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def to_xml(results: Sequence[Result]) -> str:
    """One suite for each file, one case for each case."""
    whole = ElementTree.Element("testsuites", _counts(results))
    for file in dict.fromkeys(result.case.document.file for result in results):
        mine = [result for result in results if result.case.document.file == file]
        suite = ElementTree.SubElement(whole, "testsuite", {"name": file} | _counts(mine))
        for result in mine:
            _add(suite, result)
    ElementTree.indent(whole)
    return _HEAD + ElementTree.tostring(whole, encoding="unicode") + "\n"


def _counts(results: Sequence[Result]) -> dict[str, str]:
    failures = sum(not result.passed for result in results)
    seconds = sum(result.seconds for result in results)
    return {"tests": str(len(results)), "failures": str(failures), "errors": "0", "time": f"{seconds:.3f}"}


def _add(suite: ElementTree.Element, result: Result) -> None:
    file = result.case.document.file
    attributes = {"name": result.case.name, "classname": file, "time": f"{result.seconds:.3f}"}
    case = ElementTree.SubElement(suite, "testcase", attributes)
    if result.passed:
        return
    lines = []
    for finding in result.findings:
        lines.append(f"{file}:{finding.line}: {finding.what}")
        lines += [f"  - expected  {finding.expected}"] if finding.expected is not None else []
        lines += [f"  + found     {finding.found}"] if finding.found is not None else []
    failure = ElementTree.SubElement(case, "failure", {"message": result.findings[0].what})
    failure.text = "\n".join(lines)
