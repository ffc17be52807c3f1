"""Makes a CycloneDX document of a lock file, which is of all systems and versions of Python, one of the environment
that runs this: what is not installed is left out, and what is installed besides is added.

python boms.py FILE [NAME ...]      NAME: what is in the image elsewhere, and stays
"""

import json
import re
import sys
from importlib.metadata import distributions
from pathlib import Path


def normal(name: str) -> str:
    """A distribution's name as an index spells it."""
    return re.sub("[-_.]+", "-", name).lower()


def main(file: Path, elsewhere: set[str]) -> None:
    """Write the document anew."""
    installed = {normal(each.name): each.version for each in distributions()}
    document = json.loads(file.read_text())
    kept = [
        part
        for part in document["components"]
        if part["name"] in elsewhere or installed.get(normal(part["name"])) == part.get("version")
    ]
    known = {normal(part["name"]) for part in kept} | {normal(document["metadata"]["component"]["name"])}
    for name, version in sorted(installed.items()):
        if name not in known:
            purl = f"pkg:pypi/{name}@{version}"
            kept.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
    refs = {part["bom-ref"] for part in (*kept, document["metadata"]["component"])}
    document["components"] = kept
    document["dependencies"] = [
        {**each, "dependsOn": [ref for ref in each.get("dependsOn", ()) if ref in refs]}
        for each in document["dependencies"]
        if each["ref"] in refs
    ]
    file.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]), set(sys.argv[2:]))
