package compose

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ImageName is the reference that a service's containers are made from: its image, or
// `<project>-<service>` for one that is only built.
func ImageName(p *Project, s Service) string {
	if s.Image != "" {
		return s.Image
	}
	return p.Name + "-" + s.Name
}

// ContainerName is the name of the n-th container (from 1) of a service.
func ContainerName(p *Project, s Service, n int) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	return p.Name + "-" + s.Name + "-" + strconv.Itoa(n)
}

// ClaimName is the name of a project's claim container.
func ClaimName(project string) string { return "strake-claim-" + project }

// temporaryName is what a replacement is called until the container that it replaces is gone.
func temporaryName(old Container, name string) string {
	id := old.ID
	if len(id) > 12 {
		id = id[:12]
	}
	return id + "_" + name
}

// isTemporary is whether a name may be one of temporaryName.
func isTemporary(name string) bool {
	return len(name) > 13 && name[12] == '_' && strings.Trim(name[:12], "0123456789abcdef") == ""
}

// unfinished begins the names of UnfinishedName.
const unfinished = "strake-unfinished-"

// UnfinishedName is what a container is called until what is copied into it is in.
func UnfinishedName(name string) string { return unfinished + name }

// isUnfinished is whether the container was made for a project by a create that was not done to its end.
func (c Container) isUnfinished(project string) bool {
	return c.Status == Created && strings.HasPrefix(c.Name, unfinished) && c.Labels[LabelProject] == project
}

// Number is the container's place among its service's containers, from 1; 0 if its labels do not say.
func (c Container) Number() int {
	n, err := strconv.Atoi(c.Labels[LabelNumber])
	if err != nil {
		return 0
	}
	return n
}

// containerLabels are all labels of a new container but LabelImage and LabelReplace.
// Source: docker/compose, prepareLabels.
func containerLabels(s Service, number int, oneOff bool, hash, version string) map[string]string {
	l := make(map[string]string, len(s.Labels)+len(s.CustomLabels)+6)
	maps.Copy(l, s.Labels)
	maps.Copy(l, s.CustomLabels)
	l[LabelOneOff] = "False"
	if oneOff {
		l[LabelOneOff] = "True"
	}
	if number > 0 {
		l[LabelNumber] = strconv.Itoa(number)
	}
	l[LabelConfigHash] = hash
	l[LabelVersion] = version
	l[LabelDependsOn] = dependsOnLabel(s)
	return l
}

// dependsOnLabel is `service:condition:restart` of each dependency, so that `down` without a file knows the order.
func dependsOnLabel(s Service) string {
	var deps []string
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		d := s.DependsOn[name]
		deps = append(deps, fmt.Sprintf("%s:%s:%t", name, d.Condition, d.Restart))
	}
	return strings.Join(deps, ",")
}

// dependenciesOf reads LabelDependsOn back: the services that the container's service depends on.
func dependenciesOf(c Container) []string {
	var deps []string
	for d := range strings.SplitSeq(c.Labels[LabelDependsOn], ",") {
		if name, _, _ := strings.Cut(d, ":"); name != "" {
			deps = append(deps, name)
		}
	}
	return deps
}

// conditionOf reads in LabelDependsOn what the container's service needs of another one; "" if nothing.
func conditionOf(c Container, service string) string {
	for d := range strings.SplitSeq(c.Labels[LabelDependsOn], ",") {
		if parts := strings.Split(d, ":"); parts[0] == service && len(parts) > 1 {
			return parts[1]
		}
	}
	return ""
}
