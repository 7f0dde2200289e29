from markupsafe import Markup

from reports.charts import COLOURS, DASHES, Line, colour, dashes, line_chart, swatch


def test_no_two_of_64_methods_have_colour_and_dashes_in_common() -> None:
    styles = [(colour(style), dashes(style)) for style in range(len(COLOURS) * len(DASHES))]
    assert len(set(styles)) == len(styles) == 64
    assert len({colour(style) for style in range(8)}) == len({dashes(style) for style in range(8)}) == 8


def test_the_legend_shows_the_line_of_the_chart() -> None:
    for style in (0, 3, 9):
        stroke = Markup('stroke="{}"').format(colour(style))
        dashed = Markup('stroke-dasharray="{}"').format(dashes(style))
        chart = line_chart("title", [Line("name", [0, 1], [1.0, 2.0], style)])
        assert all(part in drawn for drawn in (chart, swatch(style)) for part in (stroke, dashed))
