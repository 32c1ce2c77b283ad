package engine

import (
	"maps"
	"slices"

	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// resources are a service's limits and devices; deploy.resources wins over the service's own attributes.
func resources(s compose.Service) container.Resources {
	r := container.Resources{
		CgroupParent: s.CgroupParent, Memory: int64(s.MemLimit), MemorySwap: int64(s.MemSwapLimit), MemoryReservation: int64(s.MemReservation),
		OomKillDisable: &s.OomKillDisable, CPUCount: s.CPUCount, CPUPeriod: s.CPUPeriod, CPUQuota: s.CPUQuota,
		CPURealtimePeriod: s.CPURTPeriod, CPURealtimeRuntime: s.CPURTRuntime, CPUShares: s.CPUShares,
		NanoCPUs: int64(s.CPUS * 1e9), CPUPercent: int64(s.CPUPercent * 100), CpusetCpus: s.CPUSet,
		DeviceCgroupRules: s.DeviceCgroupRules,
	}
	if s.MemSwappiness != 0 {
		swappiness := int64(s.MemSwappiness)
		r.MemorySwappiness = &swappiness
	}
	if s.PidsLimit != 0 {
		r.PidsLimit = &s.PidsLimit
	}
	blockIO(s, &r)
	deployed(s, &r)
	devices(s, &r)
	for _, name := range slices.Sorted(maps.Keys(s.Ulimits)) {
		u := s.Ulimits[name]
		limit := container.Ulimit{Name: name, Soft: int64(u.Single), Hard: int64(u.Single)}
		if u.Soft != 0 {
			limit.Soft = int64(u.Soft)
		}
		if u.Hard != 0 {
			limit.Hard = int64(u.Hard)
		}
		r.Ulimits = append(r.Ulimits, &limit)
	}
	return r
}

// deployed is what deploy.resources says.
func deployed(s compose.Service, r *container.Resources) {
	if s.Deploy == nil {
		return
	}
	if l := s.Deploy.Resources.Limits; l != nil {
		if l.MemoryBytes != 0 {
			r.Memory = int64(l.MemoryBytes)
		}
		if l.NanoCPUs != 0 {
			r.NanoCPUs = int64(float64(l.NanoCPUs) * 1e9)
		}
		if l.Pids > 0 {
			r.PidsLimit = &l.Pids
		}
	}
	if v := s.Deploy.Resources.Reservations; v != nil {
		if v.MemoryBytes != 0 {
			r.MemoryReservation = int64(v.MemoryBytes)
		}
		for _, d := range v.Devices {
			r.DeviceRequests = append(r.DeviceRequests, container.DeviceRequest{Driver: d.Driver, Count: int(d.Count),
				DeviceIDs: d.IDs, Capabilities: [][]string{d.Capabilities}, Options: d.Options})
		}
	}
}

// cdiName is vendor/class=device. Source: Container Device Interface specification, kind and device names.
var cdiName = regex.New(`^[A-Za-z0-9][A-Za-z0-9.-]*/[A-Za-z][A-Za-z0-9_-]*=[A-Za-z0-9][A-Za-z0-9_.:-]*$`)

// devices are paths of the host, devices of the Container Device Interface, and GPUs.
func devices(s compose.Service, r *container.Resources) {
	var cdi []string
	for _, d := range s.Devices {
		if d.Source == d.Target && cdiName.MatchString(d.Source) {
			cdi = append(cdi, d.Source)
			continue
		}
		r.Devices = append(r.Devices, container.DeviceMapping{PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions})
	}
	if len(cdi) > 0 {
		r.DeviceRequests = append(r.DeviceRequests, container.DeviceRequest{Driver: "cdi", DeviceIDs: cdi})
	}
	for _, g := range s.Gpus {
		r.DeviceRequests = append(r.DeviceRequests, container.DeviceRequest{Driver: g.Driver, Count: int(g.Count), DeviceIDs: g.IDs,
			Capabilities: [][]string{append(slices.Clone(g.Capabilities), "gpu")}, Options: g.Options})
	}
}

// blockIO is blkio_config.
func blockIO(s compose.Service, r *container.Resources) {
	b := s.BlkioConfig
	if b == nil {
		return
	}
	r.BlkioWeight = b.Weight
	for _, d := range b.WeightDevice {
		r.BlkioWeightDevice = append(r.BlkioWeightDevice, &blkiodev.WeightDevice{Path: d.Path, Weight: d.Weight})
	}
	for _, d := range b.DeviceReadBps {
		r.BlkioDeviceReadBps = append(r.BlkioDeviceReadBps, &blkiodev.ThrottleDevice{Path: d.Path, Rate: uint64(d.Rate)})
	}
	for _, d := range b.DeviceReadIOps {
		r.BlkioDeviceReadIOps = append(r.BlkioDeviceReadIOps, &blkiodev.ThrottleDevice{Path: d.Path, Rate: uint64(d.Rate)})
	}
	for _, d := range b.DeviceWriteBps {
		r.BlkioDeviceWriteBps = append(r.BlkioDeviceWriteBps, &blkiodev.ThrottleDevice{Path: d.Path, Rate: uint64(d.Rate)})
	}
	for _, d := range b.DeviceWriteIOps {
		r.BlkioDeviceWriteIOps = append(r.BlkioDeviceWriteIOps, &blkiodev.ThrottleDevice{Path: d.Path, Rate: uint64(d.Rate)})
	}
}
