"""Where a node of Jinja's tree begins; its own `lineno` may be its dot, its bracket or what follows."""

from jinja2 import nodes


def start(node: nodes.Node) -> int:
    """The offset of the leftmost token of the node."""
    while True:
        match node:
            case nodes.Getattr() | nodes.Getitem() | nodes.Call() | nodes.Test() | nodes.Filter() if (
                node.node is not None
            ):
                node = node.node
            case nodes.Compare():
                node = node.expr
            case nodes.BinExpr():
                node = node.left
            case nodes.Tuple() if node.items:
                node = node.items[0]
            case nodes.Pair():
                node = node.key
            case nodes.Not() if isinstance(node.node, nodes.Test) and node.lineno > start(node.node):
                node = node.node  # `x is not …`: Jinja places the Not at the `is`
            case _:
                return int(node.lineno)
