package compose

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v4"
)

// checkAnchors refuses an anchor that is merged into itself, in the files that were given: compose-go would follow it without end.
func (src *sources) checkAnchors() error {
	for _, f := range src.files {
		if !bytes.Contains(f.Content, []byte("<<")) {
			continue // a circle without a merge key is an error of compose-go
		}
		decoder := yaml.NewDecoder(bytes.NewReader(f.Content))
		for {
			var doc yaml.Node
			if decoder.Decode(&doc) != nil {
				break // the end, or what is not YAML, of which another error tells
			}
			if alias := circular(&doc, map[*yaml.Node]bool{}); alias != nil {
				return src.hintf(fmt.Sprintf("%s:%d:%d: ", src.show(f.Filename), alias.Line, alias.Column), "take *"+alias.Value+" out of what &"+alias.Value+" names",
					"the anchor %s contains itself", alias.Value)
			}
		}
	}
	return nil
}

// circular is an alias below the node that leads back to something it stands in, or nil. The map has true for nodes that are
// being gone through, and false for those that were.
func circular(n *yaml.Node, seen map[*yaml.Node]bool) *yaml.Node {
	seen[n] = true
	defer func() { seen[n] = false }()
	for _, c := range n.Content {
		at := c
		if c.Kind == yaml.AliasNode {
			c = c.Alias
		}
		open, gone := seen[c]
		if open {
			return at
		}
		if gone {
			continue
		}
		if alias := circular(c, seen); alias != nil {
			return alias
		}
	}
	return nil
}
