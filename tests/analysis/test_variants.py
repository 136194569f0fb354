"""Tables of variants."""

from fcn.analysis.variants import Variant, close, ordered, table


def test_claims():
    claim = ordered("a", "b", "c")
    assert claim.text == "a > b > c"
    assert claim.holds(dict(a=3, b=2, c=1)) and not claim.holds(dict(a=3, b=1, c=1))
    near = close("a", "b", 2).holds
    assert near(dict(a=1, b=3)) and not near(dict(a=1, b=3.1)) and not near(dict(a=3.1, b=1))


def test_the_table_has_a_line_a_seed_the_mean_the_paper_s_and_every_claim():
    variants = {"a": Variant(None, "63.6"), "bee": Variant(None)}
    found = {0: {"a": 10.0, "bee": 20.0}, 5: {"a": 40.0, "bee": 20.0}}
    lines = table(variants, [ordered("a", "bee")], found).splitlines()
    assert [line.split() for line in lines] == [
        ["mean", "IU,", "%", "a", "bee"], ["seed", "0", "10.0", "20.0"],
        ["seed", "5", "40.0", "20.0"], ["mean", "25.0", "20.0"], ["paper", "63.6"], [],
        ["a", ">", "bee:", "seed", "0", "no,", "seed", "5", "yes,", "mean", "yes"]]
    assert "paper" not in table({name: Variant(None) for name in variants}, [], found)
