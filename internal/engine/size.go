package engine

import (
	"context"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// Size is how many bytes the containers with a label, as KEY=VALUE, wrote into their own layers, and the volumes with it hold. An engine
// before API 1.42 cannot say what volumes hold without looking through all that it has: there they are left out.
// Source: Docker Engine API 1.41, GET /containers/json?size=true; 1.42, GET /system/df?type=volume.
func (e *Engine) Size(ctx context.Context, label string) (bytes int64, err error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Size: true, Filters: filters.NewArgs(filters.Arg("label", label))})
	if err != nil {
		return 0, e.explainCall(ctx, err)
	}
	for _, c := range list {
		bytes += c.SizeRw
	}
	if !e.apiAtLeast("1.42") {
		return bytes, nil
	}
	usage, err := e.api.DiskUsage(ctx, types.DiskUsageOptions{Types: []types.DiskUsageObject{types.VolumeObject}})
	if err != nil {
		return 0, e.explainCall(ctx, err)
	}
	has := filters.NewArgs(filters.Arg("label", label))
	for _, v := range usage.Volumes {
		if has.MatchKVList("label", v.Labels) && v.UsageData != nil {
			bytes += max(v.UsageData.Size, 0) // -1 is unknown
		}
	}
	return bytes, nil
}
