import torch

from medseg_ext.transforms.other_microscopy import inverted, one_channel_in_grey


def test_inverting_twice_is_identity():
    image = torch.rand(3, 4, 5)
    torch.testing.assert_close(inverted(inverted(image)), image)


def test_grey_is_one_of_the_channels_and_each_is_drawn_alike_for_the_same_seed():
    image = torch.rand(3, 4, 5)
    torch.manual_seed(0)
    greys = [one_channel_in_grey(image) for _ in range(30)]
    drawn = []
    for grey in greys:
        (channel,) = (number for number in range(3) if torch.equal(grey, image[number].expand(3, -1, -1)))
        drawn.append(channel)
    assert set(drawn) == {0, 1, 2}
    torch.manual_seed(0)
    assert all(torch.equal(one_channel_in_grey(image), grey) for grey in greys)
