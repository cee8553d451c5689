"The table from ImageNet to CIFAR-10, computed anew from WordNet 3.0."
from pathlib import Path

import pytest
from timm.data import ImageNetInfo

from upgradeability.models import imagenet_classes
from upgradeability.heads import CIFAR10_IN_IMAGENET

NOUNS = Path("/usr/share/wordnet/data.noun")
ROOTS = dict(airplane="02691156", automobile="02958343", bird="01503061", cat="02121808", deer="02430045", dog="02084071", frog="01639765", horse="02374451", ship="04530566", truck="04490091")
SYNSETS = ImageNetInfo("imagenet-1k").label_names() # 'n01440764', …

@pytest.fixture(scope="module")
def nouns():
    "{offset: (words, offsets of its hypernyms)} of WordNet's nouns."
    if not NOUNS.is_file(): pytest.skip("needs WordNet (Debian: wordnet-base)")
    found = {}
    for line in NOUNS.read_text(encoding="latin-1").splitlines():
        if line.startswith(" "): continue # the licence
        fields = line.split(" | ")[0].split()
        at = 4 + 2 * int(fields[3], 16)
        pointers = [fields[at + 1 + 4 * i:at + 3 + 4 * i] for i in range(int(fields[at]))]
        found[fields[0]] = [w.lower() for w in fields[4:at:2]], [o for sign, o in pointers if sign in ("@", "@i")]
    return found

def above(offset, nouns):
    "The synset and all that lies above it."
    return {offset}.union(*(above(o, nouns) for o in nouns[offset][1]))

def below(root, nouns): return [i for i, s in enumerate(SYNSETS) if root in above(s[1:], nouns)]

def test_roots_are_the_words(nouns):
    "Each root is the synset of the word that CIFAR-10 uses; ship is read as vessel."
    for name, root in ROOTS.items(): assert {"ship": "vessel", "cat": "domestic_cat"}.get(name, name) in nouns[root][0], nouns[root][0]
    assert "ship" in nouns["04194289"][0] and ROOTS["ship"] in above("04194289", nouns)

def test_table_is_wordnets(nouns):
    "Two remarks apart: warplane stands beside airplane and is added, minivan is an automobile and not a truck."
    found = {name: below(root, nouns) for name, root in ROOTS.items()}
    warplane, minivan = imagenet_classes().index("warplane"), imagenet_classes().index("minivan")
    assert warplane not in found["airplane"] and minivan in found["truck"] and minivan in found["automobile"]
    found["airplane"].append(warplane); found["truck"].remove(minivan)
    assert {k: sorted(v) for k, v in found.items()} == CIFAR10_IN_IMAGENET

def test_no_head_class_means_two():
    used = sum(CIFAR10_IN_IMAGENET.values(), [])
    assert len(used) == len(set(used)) and CIFAR10_IN_IMAGENET["deer"] == [] and set(CIFAR10_IN_IMAGENET) == set(ROOTS)

def test_imagenet_is_in_timms_order():
    "Positions are those of both libraries: the names agree where they can be compared."
    info = ImageNetInfo("imagenet-1k")
    described = [info.index_to_description(i).lower() for i in range(1000)]
    assert sum(name.lower() in d for name, d in zip(imagenet_classes(), described)) > 970 and described[281].startswith("tabby") and imagenet_classes()[281] == "tabby"
