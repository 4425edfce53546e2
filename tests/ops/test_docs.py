"""Every link and anchor of every Markdown file leads somewhere, and every alert to its section of the runbook."""

import re
import subprocess
import unittest
from pathlib import PurePosixPath

from project import TOP, alerts, read


def documents():
    """What is committed, or will be, by path."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=TOP, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    return {path: read(path) for path in listed if (TOP / path).is_file()}


def prose(text):
    """Without code, whose brackets and hashes mean other things."""
    return re.sub(r"`[^`\n]*`", "code", re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.M | re.S))


def anchors(text):
    """What GitHub makes of the headings."""
    found = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


def complaints(path, text, all_documents):
    """Links of a document that lead nowhere."""
    for label, target in re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            if not target.startswith("https://"):
                yield f"{path}: [{label}]({target}) is not https"
            continue
        file, _, anchor = target.partition("#")
        # Without `..`, as a reader of the repository follows it.
        parts = []
        for part in (*PurePosixPath(path).parent.parts, *PurePosixPath(file).parts) if file else PurePosixPath(path).parts:
            parts.pop() if part == ".." and parts else parts.append(part)
        there = "/".join(parts)
        if there not in all_documents and not (TOP / there).exists():
            yield f"{path}: [{label}]({target}) leads to no file"
        elif anchor and anchor not in anchors(all_documents.get(there, "")):
            yield f"{path}: [{label}]({target}) has no such heading"


class Documents(unittest.TestCase):
    def test_every_link_and_anchor_leads_somewhere(self):
        found = documents()
        self.assertIn("README.md", found)
        self.assertEqual([line for path, text in found.items() for line in complaints(path, text, found)], [])

    def test_the_rule_can_fail(self):
        found = {"docs/a.md": "# One `x` & two\n[self](#one-x--two) [up](../README.md) `[no](nowhere)`"}
        self.assertEqual(list(complaints("docs/a.md", found["docs/a.md"], found)), [])
        for wrong in ("[a](nowhere.md)", "[a](#three)", "[a](../../README.md)", "[a](http://example.com)"):
            self.assertEqual(len(list(complaints("docs/a.md", wrong, found))), 1, wrong)

    def test_the_index_has_every_document(self):
        index = read("docs/README.md")
        for path in documents():
            if path.startswith("docs/") and path.count("/") == 1 and path != "docs/README.md":
                self.assertIn(f"]({path.removeprefix('docs/')})", index)

    def test_every_alert_has_its_section_and_every_section_its_alert(self):
        sections = re.findall(r"^## (\w+)$", read("docs/runbook.md"), re.M)
        self.assertEqual(sections, [rule["alert"] for rule in alerts()])
        for rule in alerts():
            file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
            self.assertIn(anchor, anchors(read(file)))


if __name__ == "__main__":
    unittest.main()
