"""Another program that fills the memory where jobs keep their notes. fill.py all DIR: every block and every file, once. fill.py race DIR FILE WORD: from
the moment on that FILE holds WORD, whatever becomes free is taken at once, until killed."""
import os
import sys

how, where = sys.argv[1:3]
page = b"x" * 4096
begun = how == "all"
while not begun:
    try:
        with open(sys.argv[3]) as note:
            begun = sys.argv[4] in note.read()
    except OSError:
        pass
out = os.open(f"{where}/fill", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
while True:
    try:
        os.write(out, page)
    except OSError:
        if how == "all":
            break
n = 0
while True:
    try:
        os.close(os.open(f"{where}/fill.{n}", os.O_CREAT | os.O_WRONLY))
    except OSError:
        break
    n += 1
