import torch
from torch import nn

from networks.fingerprint import fingerprint_of


def make_net(seed: int = 0, width: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


def test_equal_weights_have_equal_fingerprints_wherever_they_are() -> None:
    net = make_net()
    copy = make_net(1)
    copy.load_state_dict(net.state_dict())
    assert fingerprint_of(net) == fingerprint_of(copy) and len(fingerprint_of(net)) == 64


def test_any_bit_of_a_weight_or_buffer_the_sizes_and_what_is_said_about_it_count() -> None:
    net = make_net()
    found = {
        fingerprint_of(net),
        fingerprint_of(make_net(1)),
        fingerprint_of(make_net(0, 4)),
        fingerprint_of(net, "other"),
    }
    with torch.no_grad():
        net[0].bias[0] = torch.nextafter(net[0].bias[0], torch.tensor(9.0))
    found.add(fingerprint_of(net))
    net[1].running_mean += 1
    found.add(fingerprint_of(net))
    net[0].double()
    found.add(fingerprint_of(net))
    assert len(found) == 7
