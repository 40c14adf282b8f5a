#!/bin/sh
# Prints the rules of layout/CHECKLIST.md that no test names, and fails if there is one.
# A rule is named as in the checklist (MRG-3) in a _test.go file or a test's data, or has a
# golden tree of its name.
# The rules of section 8 (artifacts, ART-*) wait for their own change, and nothing here
# lists tags (REG-34).
set -eu
cd "$(dirname "$0")/.."
missing=0
for id in $(grep -oE '^\| (REF|LAY|MAN|IDX|DIG|REG|ENT|MRG|ERR)-[0-9]+ ' layout/CHECKLIST.md | tr -d '| ' | sort -uV); do
	[ "$id" = REG-34 ] && continue
	word=$(printf %s "$id" | sed 's/-/[-_]?/')
	grep -rqE --include='*_test.go' --include='*.txtar' --include='*.txt' "$word([^0-9]|\$)" layout lazy index fs cmd || [ -e "fs/testdata/$id.txtar" ] || { echo "$id: no test names it"; missing=1; }
done
exit $missing
