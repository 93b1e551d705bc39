"""Samples of concepts: a real server, a real base, a real worker that is killed."""

import os
import signal
from datetime import timedelta
from hashlib import sha256

import pytest
from PIL import Image

from fedshow.concepts import read_concept, write_concept
from fedshow.errors import BaseMismatch, InvalidInput
from fedshow.roles import Role
from fedshow.sampling.model import Model
from fedshow_server.folder import DescribedBase
from fedshow_server.fusion.offline import fuse_to_folder
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import open_signer
from fedshow_server.samples.pictures import LONGEST_EDGE, MOST_BYTES, decode, encode, pictures_of
from fedshow_server.samples.scorer import ScorerChoice
from fedshow_server.samples.worker import Sampler
from fedshow_server.settings import load_settings
from fedshow_server.store import Offer
from fedshow_server.store.cards import Search
from fedshow_server.store.samples import MOST_ATTEMPTS
from tests.conftest import BASE
from tests.stage.concepts import CARD, make_data, random_concept
from tests.stage.processes import children
from tests.stage.server import Server
from tests.stage.waiting import eventually

DRAWS = {"FEDSHOW_SERVER_SAMPLE_STEPS": "2"}
NUMBERS = [one.number for one in pictures_of("potter")]


def noise(width, height):
    return Image.frombytes("RGB", (width, height), os.urandom(3 * width * height))


@pytest.mark.parametrize("size", [(64, 64), (512, 512), (1024, 768), (200, 1)])
def test_pictures_are_small_whatever_is_on_them(size):
    picture = noise(*size)
    picture.info["exif"] = b"Exif\0\0where it was drawn"
    content = encode(picture)
    kept = decode(content)
    assert len(content) <= MOST_BYTES
    assert max(kept.size) <= LONGEST_EDGE
    assert b"where" not in content
    if size == (64, 64):
        assert kept.tobytes() == picture.tobytes(), "of small ones nothing is lost"


@pytest.fixture(scope="module")
def file(opened_base, tmp_path_factory):
    """A concept whose words mean a red robot, with an adapter of next to nothing."""
    path = tmp_path_factory.mktemp("concepts") / "potter.safetensors"
    noise = random_concept(path, opened_base.card, "potter", seed=1, size=0.01)
    tensors = noise.tensors()
    for word, meaning in zip(noise.header.words, ("red", "robot"), strict=True):
        row = row_of(opened_base, meaning)
        tensors[f"tokens.{word}"] = row.expand(opened_base.card.slots, -1).clone()
    write_concept(path, noise.header, tensors)
    return path


def row_of(base, word):
    """The base's own embedding of a word."""
    (number,) = base.pipeline.tokenizer(word, add_special_tokens=False).input_ids
    return base.pipeline.text_encoder.get_input_embeddings().weight[number].detach()


STEPS = 6
SCORER = ScorerChoice("toyworld")


@pytest.fixture
def anna(own_store, file):
    """Whoever brought the concept."""
    invited = own_store.members.invite("anna", timedelta(days=1))
    node, _ = own_store.members.join(invited, "key", 7)
    bring(own_store, node, "potter", file.read_bytes())
    return node


@pytest.fixture
def sampler(own_store, base, tmp_path):
    described = DescribedBase(base=BASE, fedshow="0", card=base.card)
    made = Sampler(own_store, described, STEPS, SCORER, tmp_path)
    made._base = base  # opened already
    return made


def test_nothing_is_drawn_on_a_base_with_other_weights(own_store, anna, base, tmp_path):
    card = base.card.model_copy(update={"sha256": "ab" * 32})
    described = DescribedBase(base=BASE, fedshow="0", card=card)
    with pytest.raises(BaseMismatch, match=r"is .{12}… now, concepts were made for abababababab…"):
        Sampler(own_store, described, STEPS, SCORER, tmp_path).work()
    assert not own_store.showcase.one(anna, "potter").pictures
    assert own_store.samples.next(SCORER.name), "it is drawn when the base is back"


def bring(store, node, name, blob, visible_to=None):
    """Admits a concept of the node, as if it had been handed over."""
    digest = sha256(blob).hexdigest()
    store.concepts.submit(node.id, Offer(name, "monster", digest, len(blob), visible_to), 100)
    store.concepts.admit(store.blobs.put(blob), 2)


def content(store, node, card, number):
    name, picture = card.name, card.pictures[number]
    return store.showcase.picture(node, name, picture.sha256)[1]


def test_pictures_are_those_of_the_concept(own_store, anna, sampler, file, base):
    sampler.work()
    card = own_store.showcase.one(anna, "potter")
    assert [one.number for one in card.pictures] == NUMBERS
    assert [one.scale for one in card.pictures] == [0, 0, 0.7, 0.7, 1, 1]
    model = Model(base)
    model.add_concept(read_concept(file, base.card))
    for picture in card.pictures:
        (drawn,) = model(picture.prompt, seed=picture.seed, steps=STEPS, scale=picture.scale).images
        kept = decode(content(own_store, anna, card, picture.number))
        pairs = zip(kept.tobytes(), drawn.tobytes(), strict=True)
        assert max(abs(a - b) for a, b in pairs) <= 2
    model.restore()
    assert len({one.sha256 for one in card.pictures}) == len(NUMBERS)


def test_what_is_there_is_not_drawn_again(own_store, anna, sampler, monkeypatch):
    drawn = []

    def count(model, prompts, scale=1.0, **recipe):
        drawn.append(scale)
        if scale == stop_at:
            raise SystemExit(0)
        return draw(model, prompts, scale=scale, **recipe)

    draw, stop_at = Model.__call__, 0.7
    monkeypatch.setattr(Model, "__call__", count)
    with pytest.raises(SystemExit):
        sampler.work()
    first = own_store.showcase.one(anna, "potter").pictures
    assert [one.number for one in first] == NUMBERS[:2]
    subject = own_store.samples.next("toyworld")
    for _ in range(2 * MOST_ATTEMPTS):
        own_store.samples.begin(subject, 2)
        own_store.samples.rest(subject)
    stop_at, drawn[:] = None, []
    sampler.work()
    done = own_store.showcase.one(anna, "potter")
    assert done.pictures[:2] == first
    assert len(done.pictures) == len(NUMBERS)
    assert drawn == [0.7, 1, 1], "and the others that it is measured with"
    assert 0.5 < done.identity.before <= 1
    drawn.clear()
    sampler.work()
    assert drawn == []


def test_what_cannot_be_drawn_holds_nobody_up(
    own_store, anna, sampler, file, base, tmp_path, monkeypatch
):
    blob = file.read_bytes()
    (lost,) = own_store.blobs._folder.glob("??/*")
    lost.write_bytes(blob[:-4])
    for name in ("zombie", "dobby"):
        bring(own_store, anna, name, made(tmp_path, base.card, name).read_bytes())
    draw, tried = Model.__call__, []

    def fail(model, prompts, **recipe):
        if "zombie" in prompts[0]:
            tried.append(prompts)
            raise MemoryError("so large")
        return draw(model, prompts, **recipe)

    monkeypatch.setattr(Model, "__call__", fail)
    sampler.work()
    page = own_store.showcase.page(anna, Search())
    found = {card.name: len(card.pictures) for card in page.cards}
    assert found == {"potter": 0, "dobby": len(NUMBERS), "zombie": 0}
    assert len(tried) == MOST_ATTEMPTS


def made(tmp_path, card, name, seed=2, **how):
    path = tmp_path / f"{name}.safetensors"
    random_concept(path, card, name, seed, **how)
    return path


def test_identity_before_and_after_fusion(own_store, anna, sampler, file, base, tmp_path):
    """One concept fused alone stays what it is, one averaged with another does not."""
    other = made(tmp_path, base.card, "dobby", size=0.8)
    sampler.work()
    assert own_store.showcase.one(anna, "potter").identity.after is None
    kept = {}
    for name, files in {"alone": [file], "averaged": [file, other]}.items():
        fuse_to_folder(BASE, files, tmp_path / name, method="average")
        release, _ = publish(own_store, tmp_path / name, open_signer(tmp_path))
        sampler.work()
        identity = own_store.showcase.one(anna, "potter").identity
        assert identity.release == release.release
        kept[name] = identity.kept
    assert kept["alone"] == pytest.approx(1, abs=0.02)
    assert kept["averaged"] < 0.9


@pytest.fixture(scope="module")
def gallery(opened_base, tmp_path_factory):
    """A server that draws samples."""
    data = make_data(tmp_path_factory.mktemp("gallery") / "data", opened_base.card, BASE)
    settings = {"FEDSHOW_SERVER_SAMPLE_STEPS": "2"}
    found = Server(data, settings, options=("--base", BASE))
    found.start()
    yield found
    assert found.end() == 0


def workers(server):
    return children(server.process.pid, "fedshow_server.samples.worker")


def test_members_look_at_what_they_may_have(gallery, joined, file):
    people = {
        "anna": joined(gallery, "anna"),
        "bob": joined(gallery, "bob", Role.DOWNLOADER),
        "carl": joined(gallery, "carl", Role.DOWNLOADER),
        "olga": joined(gallery, "olga", Role.OWNER),
    }
    store = gallery.store()
    (node,) = (one for one in store.members.nodes() if one.name == "anna")
    bring(store, node, "potter", file.read_bytes(), frozenset({"bob"}))
    (worker,) = eventually(lambda: workers(gallery))
    os.kill(worker, signal.SIGKILL)
    with gallery.http() as client:

        def ask(name, path, status=200, **headers):
            answer = client.get(path, headers=people[name].bearer | headers)
            assert answer.status_code == status, answer.text
            return answer

        def samples():
            return ask("anna", "/api/concepts/potter").json()["samples"]

        eventually(lambda: len(samples()) == len(NUMBERS))
        seen = {name: ask(name, "/api/concepts").json() for name in people}
        totals = {name: page["total"] for name, page in seen.items()}
        assert totals == {"anna": 1, "bob": 1, "carl": 0, "olga": 1}
        (card,) = seen["bob"]["concepts"]
        assert (card["status"], card["owner"], card["mine"]) == ("admitted", "anna", False)
        assert (card["base"], card["family"], card["rank"]) == (BASE, "sd1", 2)
        assert card["visible_to"] is None
        assert seen["anna"]["concepts"][0]["visible_to"] == ["bob"]

        url = samples()[-1]["url"]
        picture = ask("anna", url)
        assert picture.headers["content-type"] == "image/webp"
        assert picture.headers["etag"] == f'"{sha256(picture.content).hexdigest()}"'
        assert ask("bob", url).content == ask("olga", url).content == picture.content
        known = {"if-none-match": picture.headers["etag"]}
        assert ask("bob", url, 304, **known).content == b""
        ask("carl", url, 404)
        ask("carl", url, 404, **known)
        ask("carl", "/api/concepts/potter", 404)
        for wrong in (url.replace(".webp", ".png"), url.replace("potter", "dobby"), f"{url}x"):
            ask("anna", wrong, 404)
        ask("anna", "/api/concepts/potter/samples/.webp", 404)
        ask("anna", "/api/concepts/potter/samples/%25.webp", 404)

        store.concepts.withdraw("potter", node.id)
        for name in ("anna", "bob", "olga"):
            ask(name, url, 404)
        after = ask("anna", "/api/concepts/potter").json()
        assert (after["status"], after["samples"], after["identity"]) == ("withdrawn", [], None)
        assert ask("bob", "/api/concepts").json()["total"] == 0
    store.close()


def test_questions(gallery, joined):
    member = joined(gallery, "quinn")
    store = gallery.store()
    (node,) = (one for one in store.members.nodes() if one.name == "quinn")
    for name in ("snape", "sirius", "lupin"):
        store.concepts.submit(
            node.id, Offer(name, "dog", sha256(name.encode()).hexdigest(), 9), 100
        )
    store.close()
    with gallery.http() as client:
        for question, names in {
            "q=S": ["sirius", "snape"],
            "owner=quinn&limit=1&offset=1": ["sirius"],
            "class_word=dog&status=waiting&status=admitted": ["lupin", "sirius", "snape"],
            "status=refused": [],
        }.items():
            found = client.get(f"/api/concepts?{question}", headers=member.bearer).json()
            mine = [card["name"] for card in found["concepts"] if card["mine"]]
            assert mine == names, question
        for question, says in {
            "limit=0": "limit = '0'",
            "limit=201": "limit = '201'",
            "offset=-1": "offset = '-1'",
            "status=lost": "status.0 = 'lost'",
            "color=red": "color = 'red'",
            f"q={'x' * 101}": "q = 'xxx",
        }.items():
            answer = client.get(f"/api/concepts?{question}", headers=member.bearer)
            assert (answer.status_code, says in answer.json()["message"]) == (400, True), question


def test_a_scorer_is_a_folder_of_one(tmp_path):
    with pytest.raises(
        InvalidInput, match=r"--scorer: scorer = .*must be a CLIP or DINOv2 folder with its config"
    ):
        load_settings(data=tmp_path, scorer=tmp_path)
    (tmp_path / "config.json").write_text("{}")
    scorer = load_settings(data=tmp_path, scorer=tmp_path).scorer
    assert ScorerChoice.of(CARD, scorer) == ScorerChoice(tmp_path.name, tmp_path)
    assert ScorerChoice.of(CARD, None).name == "", "a base without one of its own"
