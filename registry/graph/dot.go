package graph

import (
	"fmt"
	"strings"

	"cleat/registry"
)

// DOT writes the graph in the language of Graphviz, for those who want to draw
// it their own way.
func DOT(g registry.Graph) string {
	var b strings.Builder
	b.WriteString("digraph cleat {\n\trankdir=LR;\n\tnode [shape=box, style=rounded, fontname=\"sans-serif\"];\n\tedge [fontname=\"sans-serif\", fontsize=10];\n")
	var several bool
	for _, n := range g.Nodes {
		several = several || n.Namespace != g.Nodes[0].Namespace
	}
	for _, n := range g.Nodes {
		attributes := ""
		switch {
		case n.Kind == registry.NodeLaunchers:
			attributes = ", style=\"rounded,dashed\""
		case Health(n) == "missing" || Health(n) == string(registry.Critical):
			attributes = ", color=red"
		}
		if n.Single {
			attributes += ", penwidth=3"
		}
		fmt.Fprintf(&b, "\t%s [label=%s, tooltip=%s%s];\n", quoted(n.ID), quoted(n.Name+"\n"+note(n, several)), quoted(About(n)), attributes)
	}
	for _, e := range g.Edges {
		attributes := ""
		if e.Optional {
			attributes += ", style=dashed"
		}
		if e.Unmet {
			attributes += ", color=red, penwidth=3, label=\"unmet\""
		}
		fmt.Fprintf(&b, "\t%s -> %s [tooltip=%s%s];\n", quoted(e.From), quoted(e.To), quoted(Sentence(e)), attributes)
	}
	b.WriteString("}\n")
	return b.String()
}

// quoted returns a text as DOT has it between quotation marks, in which only
// these and backslashes need one before them.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}
