"""Makes the drawings: `python -m tests.docs.drawings`."""

from tests.docs.drawings.pictures import FOLDER, pictures

for name, text in pictures().items():
    (FOLDER / name).write_text(text)
    print(FOLDER / name)
