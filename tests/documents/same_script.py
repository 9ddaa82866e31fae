"""Are two scripts, as bash prints their parse trees, the same but for the names of the script's own variables and functions, and
but for `if A; then B; fi` where it stands as `A && B` and another command follows? same_script.py PLAIN WRITTEN
Says what differs, one line each, and how many names do; fails when anything but names does. Knows nothing of how build.py finds them."""
import re
import sys

VALUE = r"""'[^']*'|"[^"]*"|[^\s'"]"""
WORD = re.compile(r"[A-Za-z_]\w*")
# Read by other programs, or by the shell itself.
ENVIRONMENT = re.compile(
    r"(AWS|SSM|LC|PG|BASH|XDG|GCONV|MYSQL|REDISCLI|CURL|SSL)_\w+|PG[A-Z]+|[a-z]+_proxy|[A-Z]+_PROXY|PATH|HOME|IFS|ENV|LANG|LANGUAGE|TMPDIR|TZ|SHELL|USER|LOGNAME"
    r"|HOSTNAME|PWD|OLDPWD|CDPATH|UID|EUID|PPID|PS[0-4]|OPT[A-Z]+|RANDOM|SECONDS|LINENO|TERM|MAIL|COLUMNS|LINES|LD_\w+|CI|CC|OS|DISPLAY|EDITOR|PAGER|VISUAL|MANPATH|NO_COLOR"
)


# Where another command follows that does not read the exit status, in which the two forms differ.
SHORT_IF = re.compile(r"^( *)if (.+); then\n +(.+);\n\1fi;\n(?! *(?:(?:return|exit);?\n|\}|\)|;;|(?:fi|else|elif|done|esac)\b))(?!.*\$\?)", re.M)
QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""")


def without_short_ifs(script):
    def short(found):
        if re.search(r"\|\||;", QUOTED.sub("", found[2])) or re.search(r"\|\||;", QUOTED.sub("", found[3])):
            return found[0]
        return f"{found[1]}{found[2]} && {found[3]};\n"

    return SHORT_IF.sub(short, script)


def a_name_there(line, start, end, functions, word):
    """Can the word at this place of the plain line be nothing but a variable, or a function that is called or defined?"""
    before, after = line[:start], line[end:]
    if word in functions:
        return bool(re.match(r" \(\)", after)) or bool(
            # At the place of a command
            re.search(r"(^|[;&|({!]|\$\()\s*((if|then|else|elif|while|until|do|!|\{)\s+)*$", before) and re.match(r"[\s;)]|$", after)
        )
    if re.search(r"(^|[^\\])\$$", before) or re.search(r"(^|[^\\])\$\{#?$", before):
        return True
    # An assignment and nothing but assignments before it
    if after.startswith("=") and re.search(rf"(^|[;&|({{!]|\$\()\s*((if|then|else|elif|while|until|do|!|\{{)\s+)*([A-Za-z_]\w*=({VALUE})*\s+)*$", before):
        return True
    if re.search(r"\bread (-r )?([A-Za-z_]\w* )*$", before) or re.search(r"\bfor $", before):
        return True
    # Arithmetic
    opened = before.rfind("$((")
    return opened >= 0 and "))" not in before[opened:]


def main():
    plain, written = (without_short_ifs(open(path).read()) for path in sys.argv[1:3])
    texts, words = WORD.split(plain), list(WORD.finditer(plain))
    other_texts, other_words = WORD.split(written), WORD.findall(written)
    wrong = []
    for n, (one, other) in enumerate(zip(texts, other_texts)):
        if one != other:
            wrong.append(f"after {' '.join(w[0] for w in words[max(0, n - 3):n])}: {one!r} is {other!r}")
            break
    if not wrong and len(texts) != len(other_texts):
        wrong.append(f"{len(texts)} words are {len(other_texts)}")
    renamed, back = {}, {}
    for found, other in zip(words, other_words):
        word = found[0]
        if renamed.setdefault(word, other) != other:
            wrong.append(f"{word} is {renamed[word]} and {other}")
        if back.setdefault(other, word) != word:
            wrong.append(f"{other} stands for {back[other]} and {word}")
    new = {word: other for word, other in renamed.items() if word != other}
    functions = set(re.findall(r"^ *(?:function )?(\w+) \(\)", plain, re.M))
    for word, other in new.items():
        if ENVIRONMENT.fullmatch(word) or ENVIRONMENT.fullmatch(other):
            wrong.append(f"{word} is {other}, which other programs read")
    for found in words:
        word = found[0]
        if word in new:
            line = plain[plain.rfind("\n", 0, found.start()) + 1 : (plain.find("\n", found.end()) + 1 or len(plain) + 1) - 1]
            at = found.start() - (plain.rfind("\n", 0, found.start()) + 1)
            if not a_name_there(line, at, at + len(word), functions, word):
                wrong.append(f"{word} may be text in: {line.strip()}")
    print("\n".join(wrong) if wrong else len(new))
    return 1 if wrong else 0


sys.exit(main())
