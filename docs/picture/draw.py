"""Draws the picture of the README, for light and dark pages, in English and in Chinese.

python docs/picture/draw.py            writes docs/picture/*.svg anew; needs locks/picture.txt: `make picture`
python docs/picture/draw.py --check    says which of them differ from what would be drawn, and changes nothing

Each drawing ends with digests of itself and of what it was made from, so that a test without the library sees
one that is old or was changed by hand.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drawsvg import Drawing

HERE = Path(__file__).resolve().parent
LOCK = HERE.parents[1] / "locks/picture.txt"
WIDTH, HEIGHT = 960, 510
FONT = "system-ui, 'Segoe UI', 'Noto Sans', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
# Distance of a box's text lines, and of an arrow's label from its line, in pixels.
LINE, GAP = 19, 8


@dataclass(frozen=True)
class Theme:
    text: str
    muted: str
    fill: str
    stroke: str
    strong_fill: str
    strong_stroke: str


THEMES = {
    "light": Theme("#1f2328", "#59636e", "#f6f8fa", "#d1d9e0", "#ddf4ff", "#0969da"),
    "dark": Theme("#f0f6fc", "#9198a1", "#151b23", "#3d444d", "#121d2f", "#4493f8"),
}


@dataclass(frozen=True)
class Box:
    """A rectangle; its heading and lines are looked up in the words of a language under `name`."""

    name: str
    x: int
    y: int
    width: int
    height: int
    strong: bool = False
    """Drawn in the colour of what serves requests."""

    @property
    def middle(self) -> int:
        return self.x + self.width // 2

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height


@dataclass(frozen=True)
class Arrow:
    points: tuple[tuple[int, int], ...]
    label: str = ""
    at: tuple[int, int] = (0, 0)
    strong: bool = False


IMAGES = Box("images", 20, 20, 210, 64)
INVENTORY = Box("inventory", 270, 20, 210, 64)
PLAN = Box("plan", 500, 20, 210, 64)
STACK = Box("stack", 730, 20, 210, 64)
MIRROR = Box("mirror", 20, 132, 210, 64)
ANSIBLE = Box("ansible", 270, 132, 325, 64)
PULUMI = Box("pulumi", 615, 132, 325, 64)
CLUSTER = Box("cluster", 270, 246, 670, 246)
CLIENT = Box("client", 20, 294, 210, 64)
GATEWAY = Box("gateway", 294, 294, 300, 64, strong=True)
MONITORING = Box("monitoring", 686, 294, 230, 64)
POD = Box("pod", 294, 398, 622, 78, strong=True)
BOXES = (IMAGES, INVENTORY, PLAN, STACK, MIRROR, ANSIBLE, PULUMI, CLUSTER, CLIENT, GATEWAY, MONITORING, POD)


def between(start: Box, end: Box, *, aside: int = 0, label: str = "", strong: bool = False) -> Arrow:
    """Arrow straight between two boxes, in the middle of the narrower one or `aside` pixels beside it."""
    x = min(start, end, key=lambda box: box.width).middle + aside
    from_y, to_y = (start.bottom, end.y) if start.y < end.y else (start.y, end.bottom)
    return Arrow(((x, from_y), (x, to_y)), label, (x + GAP, (from_y + to_y) // 2 + 5), strong)


ARROWS = (
    between(IMAGES, MIRROR),
    between(INVENTORY, ANSIBLE),
    between(PLAN, ANSIBLE, aside=-40),
    between(PLAN, PULUMI, aside=40),
    between(STACK, PULUMI),
    between(ANSIBLE, CLUSTER, label="provision"),
    between(PULUMI, CLUSTER, label="deploy"),
    Arrow(
        ((MIRROR.middle, MIRROR.bottom), (MIRROR.middle, 266), (CLUSTER.x, 266)), "fetch", (MIRROR.middle + GAP, 226)
    ),
    Arrow(((CLIENT.right, 326), (GATEWAY.x, 326)), strong=True),
    between(GATEWAY, POD, label="forward", strong=True),
    between(POD, MONITORING, label="metrics"),
)

# By language: the drawing's title, headings and lines of boxes, labels of arrows.
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "": {
        "title": ("How the parts fit together: from an inventory and a plan to an answered request",),
        "images": ("images/, python/", "image templates, package"),
        "inventory": ("inventory/<site>", "hosts and variables"),
        "plan": ("plan.json", "qwen-runtime plan"),
        "stack": ("Pulumi.<site>.yaml", "models, keys, replicas"),
        "mirror": ("site mirror", "apt, registry, weights"),
        "ansible": ("ansible/", "roles: one outcome each"),
        "pulumi": ("pulumi/", "the serving stack"),
        "cluster": ("GPU hosts, one Kubernetes cluster, no route to the internet",),
        "client": ("client", "OpenAI's API"),
        "gateway": ("gateway: Envoy, two replicas", "checks keys; retries before the first byte"),
        "monitoring": ("monitoring", "Prometheus, Alertmanager"),
        "pod": (
            "model server: qwen-runtime serve",
            "weights: verified  ·  engine: vLLM, port 8080  ·  health: port 8081",
            "a request without progress ends the pod",
        ),
        "provision": ("cluster, drivers, weights on disk",),
        "deploy": ("pulumi up",),
        "fetch": ("the only source",),
        "forward": ("requests",),
        "metrics": ("metrics",),
    },
    ".zh-CN": {
        "title": ("各部分如何配合：从主机清单和规划到一次成功的请求",),
        "images": ("images/、python/", "镜像模板与 Python 包"),
        "inventory": ("inventory/<site>", "主机与变量"),
        "plan": ("plan.json", "qwen-runtime plan"),
        "stack": ("Pulumi.<site>.yaml", "模型、密钥、副本数"),
        "mirror": ("站点镜像源", "apt、镜像仓库、权重"),
        "ansible": ("ansible/", "每个角色只保证一个结果"),
        "pulumi": ("pulumi/", "模型服务栈"),
        "cluster": ("GPU 主机，一个 Kubernetes 集群，没有外网出口",),
        "client": ("客户端", "OpenAI 接口"),
        "gateway": ("网关：Envoy，两个副本", "密钥校验；首字节之前可重试"),
        "monitoring": ("监控", "Prometheus、Alertmanager"),
        "pod": (
            "模型服务：qwen-runtime serve",
            "权重：已校验  ·  引擎：vLLM，端口 8080  ·  健康检查：端口 8081",
            "有请求却迟迟没有进展时，结束 Pod",
        ),
        "provision": ("集群、驱动、磁盘上的权重",),
        "deploy": ("pulumi up",),
        "fetch": ("唯一来源",),
        "forward": ("请求",),
        "metrics": ("指标",),
    },
}


def inputs() -> str:
    """Digest of what a drawing is made from: this file, and the library's version in its lock."""
    return hashlib.sha256(Path(__file__).read_bytes() + LOCK.read_bytes()).hexdigest()


def sealed(svg: str) -> str:
    """A drawing with its last line: digests of what it was made from and of the drawing itself."""
    digest = hashlib.sha256(svg.encode()).hexdigest()
    return f"{svg}\n<!-- docs/picture/draw.py drew {digest} from {inputs()} -->\n"


def path(language: str, theme: str) -> Path:
    return HERE / f"overview-{theme}{language}.svg"


def draw(language: str, theme: str) -> str:
    """The drawing as the text of an SVG file."""
    import drawsvg

    words, colours = WORDS[language], THEMES[theme]
    drawing = drawsvg.Drawing(WIDTH, HEIGHT, id_prefix="o", font_family=FONT)
    drawing.append_title(words["title"][0])
    heads: dict[str, drawsvg.Marker] = {}
    for colour in (colours.muted, colours.strong_stroke):
        heads[colour] = drawsvg.Marker(-10, -5, 0, 5, orient="auto", id=f"head-{len(heads)}")
        heads[colour].append(drawsvg.Lines(-10, -4, 0, 0, -10, 4, close=True, fill=colour))
    for box in BOXES:
        _box(drawing, box, words[box.name], colours)
    for arrow in ARROWS:
        colour = colours.strong_stroke if arrow.strong else colours.muted
        corners = [number for point in arrow.points for number in point]
        drawing.append(drawsvg.Lines(*corners, fill="none", stroke=colour, stroke_width=1.5, marker_end=heads[colour]))
        if arrow.label:
            drawing.append(drawsvg.Text(words[arrow.label][0], 13, *arrow.at, fill=colours.muted))
    return sealed(drawing.as_svg())


def _box(drawing: Drawing, box: Box, lines: tuple[str, ...], colours: Theme) -> None:
    import drawsvg

    outline = {
        "fill": colours.strong_fill if box.strong else colours.fill,
        "stroke": colours.strong_stroke if box.strong else colours.stroke,
    }
    drawing.append(drawsvg.Rectangle(box.x, box.y, box.width, box.height, rx=8, stroke_width=1.5, **outline))
    # A box that holds others has its heading at the top, left; the others have all of it in the middle.
    if box is CLUSTER:
        drawing.append(drawsvg.Text(lines[0], 14, box.x + 24, box.y + 30, font_weight="600", fill=colours.muted))
        return
    first = box.y + (box.height - LINE * (len(lines) - 1)) / 2 + 5
    for number, line in enumerate(lines):
        size, weight, colour = (13, "400", colours.muted) if number else (15, "600", colours.text)
        y = first + LINE * number
        drawing.append(drawsvg.Text(line, size, box.middle, y, text_anchor="middle", font_weight=weight, fill=colour))


def main() -> int:
    """Write the drawings, or with --check name those that are old."""
    check = sys.argv[1:] == ["--check"]
    old = []
    for language in WORDS:
        for theme in THEMES:
            target, text = path(language, theme), draw(language, theme)
            if check and (not target.exists() or target.read_text() != text):
                old.append(target.name)
            elif not check:
                target.write_text(text)
    if old:
        print(f"Found old drawings: {', '.join(old)}. Needed those that draw.py draws now. Run `make picture`.")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
