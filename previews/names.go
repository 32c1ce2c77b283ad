package previews

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/strake-dev/strake/compose/regex"
)

// slugLength is the most letters of a slug, so that a project's name, a service's and a generation's fit beside it into the 63 of a label.
const slugLength = 40

var notInLabels = regex.New(`[^a-z0-9]+`)

// PullRequestSlug is the slug of a pull request: pr-42. Numbers below 1 are an error.
func PullRequestSlug(number int) (string, error) {
	if number < 1 {
		return "", fmt.Errorf("%d is no number of a pull request", number)
	}
	return fmt.Sprintf("pr-%d", number), nil
}

// Slug is a branch's name as a label of a hostname: at most 40 lower-case letters, digits and single -, a letter or digit at both ends. A name
// that is none, or that could be taken for the slug of another one or of a pull request, ends in a hash of what it was, so that no two
// names have the same slug but by a collision of 40 bits of SHA-256.
func Slug(name string) string {
	label := strings.Trim(notInLabels.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if label == name && label != "" && len(label) <= slugLength && !reservedSlug.MatchString(label) {
		return label
	}
	return hashed(label, name, slugLength, 5)
}

// reservedSlug are the slugs of pull requests and commits, and those that end as one with a hash or a generation does.
var reservedSlug = regex.New(`^pr-[0-9]+$|^c-[0-9a-f]+$|(^|-)[0-9a-f]{10}$|(^|-)g[0-9]+$`)

// hashed is a label cut to make room for so many bytes of a hash of what it was made of.
func hashed(label, of string, length, bytes int) string {
	sum := sha256.Sum256([]byte(of))
	hash := hex.EncodeToString(sum[:bytes])
	label = strings.Trim(label[:min(len(label), length-len(hash)-1)], "-")
	if label == "" {
		return hash
	}
	return label + "-" + hash
}

// hostLabel is the label of a hostname for a service of a preview beside its main one: at most 63 letters.
func hostLabel(host, id string) string {
	label := host + "--" + id
	if len(label) <= 63 {
		return label
	}
	return hashed(label, label, 63, 5)
}

// StackName is the name of a preview's stack: the project's and the slug.
func StackName(project, slug string) string { return project + "-" + slug }

// GenerationName is the compose project's name of a stack's generation, from 1: the first has the stack's own.
func GenerationName(stack string, generation int) string {
	if generation <= 1 {
		return stack
	}
	return fmt.Sprintf("%s-g%d", stack, generation)
}

// EdgeNetwork is the key of the network on which a generation's routed services meet the gateway; in the engine it is <generation's name>_strake-edge.
const EdgeNetwork = "strake-edge"

// EdgeAlias is the name by which the gateway finds a service: unique per service, stack and generation among all stacks of an engine, as the
// gateway takes part in the networks of all of them (ARCHITECTURE, decision 14). It is a label of a hostname: at most 63 letters. It ends in
// --g and the generation, which no container's name does, and that of no other stack.
func EdgeAlias(service, stack string, generation int) string {
	end := fmt.Sprintf("--g%d", max(generation, 1))
	of := service + "--" + stack
	label := strings.Trim(notInAliases.ReplaceAllString(strings.ToLower(of), "-"), "-")
	// A service's name may have -- itself, so that it is not known where the stack's begins.
	if label == of && len(label)+len(end) <= 63 && strings.Count(label, "--") == 1 && !strings.Contains(label, "---") && !endsInHash.MatchString(label) {
		return label + end
	}
	return hashed(label, service+"\x00"+stack, 63-len(end), 8) + end // whoever writes a file chooses the names of its services: not to be found by trying
}

var (
	notInAliases = regex.New(`[^a-z0-9-]`)
	endsInHash   = regex.New(`-[0-9a-f]{16}$`)
)
