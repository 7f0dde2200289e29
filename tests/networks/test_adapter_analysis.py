"""The parameter table and the spectra of the changes."""

import pytest
import torch
from torch import nn
from weight_adapter_cases import scramble

from networks.weight_adapters import (
    AdapterError,
    AdapterSpec,
    attach,
    delta_spectra,
    deltas,
    merge,
    only_pairs,
    report,
    switch,
    train_only,
)  # fmt: skip


def net_with(spec: AdapterSpec) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Conv1d(8, 6, 3, groups=2), nn.LayerNorm(4))
    attach(net, spec, "ada")
    scramble(train_only(net, "ada"))
    return net


def test_the_table_counts_what_is_trained():
    net = net_with(AdapterSpec("molora", ("*",), ranks=(1, 2)))
    table = report(net, "ada")
    assert [(row.parameter, row.shape, row.values) for row in table.rows] == [
        ("0.weight", (20, 12), 240),
        ("2.weight", (6, 4, 3), 72),
    ]
    assert table.rows[0].trained == 3 * (20 + 12)
    assert table.rows[1].trained == 3 * 3 * (3 * 3 + 8)
    assert table.trained == sum(p.numel() for p in train_only(net, "ada")) == table.bytes / 4
    assert table.network_values == 240 + 20 + 72 + 6 + 8
    lines = str(table).splitlines()
    assert len(lines) == 4 and lines[-1].startswith("molora in all") and f"{table.trained}" in lines[-1]


def test_deltas_are_what_merging_writes():
    net = net_with(AdapterSpec("dora", ("*",), ranks=(2,)))
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    found = deltas(net, "ada")
    merge(net, "ada")
    after = dict(net.named_parameters())
    assert found.keys() == {"0.weight", "2.weight"}
    for name, delta in found.items():
        assert delta.abs().max() > 1e-3
        torch.testing.assert_close(after[name], before[name] + delta)
        assert torch.equal(deltas(net, "ada")[name], delta)  # also while merged


def test_spectra_show_the_rank_of_each_pair_and_of_the_sum():
    net = net_with(AdapterSpec("molora", ("0",), ranks=(1, 3), alphas=(2, 3)))
    spectrum = delta_spectra(net, "ada")["0.weight"]
    assert list(spectrum) == ["all", "rank 1", "rank 3"]
    ranks = {label: int((values > 1e-5).sum()) for label, values in spectrum.items()}
    assert ranks == {"all": 4, "rank 1": 1, "rank 3": 3}
    change = net[0].weight_adapters["weight"].people["ada"]
    torch.testing.assert_close(spectrum["rank 1"][0], 2 * change.up[0].detach().norm() * change.down[0].detach().norm())
    dense = torch.linalg.svdvals(deltas(net, "ada")["0.weight"])
    torch.testing.assert_close(spectrum["all"], dense)


def test_spectra_leave_out_biases_and_tell_equal_ranks_apart():
    net = net_with(AdapterSpec("full", ("0",)))
    assert list(delta_spectra(net, "ada")) == ["0.weight"]
    net = net_with(AdapterSpec("molora", ("0",), ranks=(2, 2)))
    assert list(delta_spectra(net, "ada")["0.weight"]) == ["all", "rank 2 (0)", "rank 2 (1)"]


def test_pairs_that_are_left_out_count_as_nothing_and_come_back():
    net = net_with(AdapterSpec("molora", ("0",), ranks=(1, 3), alphas=(2, 3)))
    whole, x = deltas(net, "ada")["0.weight"], torch.randn(5, 12)
    shares = []
    for pair in (0, 1):
        with pytest.raises(KeyboardInterrupt), only_pairs(net, "ada", [pair]):
            shares.append(deltas(net, "ada")["0.weight"])
            raise KeyboardInterrupt
    torch.testing.assert_close(shares[0] + shares[1], whole)
    assert [int(torch.linalg.matrix_rank(share, rtol=1e-4)) for share in shares] == [1, 3]
    assert torch.equal(deltas(net, "ada")["0.weight"], whole)
    with only_pairs(net, "ada", []):
        silent = net[0](x)
    switch(net, None)
    assert torch.equal(net[0](x), silent)


@pytest.mark.parametrize(("spec", "said"), [
    (AdapterSpec("dora", ("0",), ranks=(2,)), "no sum"), (AdapterSpec("bias", ("0",)), "no sum"),
    (AdapterSpec("lora", ("0",), ranks=(2,)), r"pairs \[1\]"),
])  # fmt: skip
def test_pairs_that_are_not_there_are_refused(spec, said):
    with pytest.raises(AdapterError, match=said), only_pairs(net_with(spec), "ada", [1]):
        pass
