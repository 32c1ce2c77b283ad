package bundle

import (
	"cmp"

	"github.com/distribution/reference"

	"github.com/strake-dev/strake/compose"
)

// fullName is a reference with its registry and tag, as image stores write it; what is none stays as it is.
func fullName(ref string) string {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return ref
	}
	return named.String()
}

// Name is the name that the image has in a bundle: that of a reference by digest is a tag, from which compose.CarriedAs knows it again.
func (i Image) Name() string { return cmp.Or(compose.CarriedAs(i.Ref), i.Ref) }
