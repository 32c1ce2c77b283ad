package compose

import "github.com/compose-spec/compose-go/v2/types"

// These are compose-go's own types under the names that the rest of strake uses; there is no second
// model. They are aliases so that only this package imports compose-go.
type (
	// Service is one service of a Project, interpolated and normalised.
	Service = types.ServiceConfig
	// Dependency is one entry of a service's depends_on.
	Dependency = types.ServiceDependency
	// ServicePort is one entry of a service's ports.
	ServicePort = types.ServicePortConfig
	// ServiceVolume is one entry of a service's volumes.
	ServiceVolume = types.ServiceVolumeConfig
	// VolumeBind are the options of a bind mount.
	VolumeBind = types.ServiceVolumeBind
	// ServiceNetwork is a service's attachment to one network; it may be nil.
	ServiceNetwork = types.ServiceNetworkConfig
	// ServiceHook is a command of post_start or pre_stop.
	ServiceHook = types.ServiceHook
	// PreStartHook is a container that runs to completion before its service starts.
	PreStartHook = types.PreStartHook
	// HealthCheck is a service's healthcheck; nil leaves the image's own in force.
	HealthCheck = types.HealthCheckConfig
	// Build is a service's build section.
	Build = types.BuildConfig
	// NetworkSpec is a top-level network of a Project.
	NetworkSpec = types.NetworkConfig
	// VolumeSpec is a top-level volume of a Project.
	VolumeSpec = types.VolumeConfig
	// FileObject is a top-level secret or config of a Project.
	FileObject = types.FileObjectConfig
	// FileReference is a service's use of a secret or config.
	FileReference = types.FileReferenceConfig
	// Duration is a time span as compose files write it.
	Duration = types.Duration
	// Logging is a service's logging.
	Logging = types.LoggingConfig
	// AddressPool is one entry of a network's ipam.config.
	AddressPool = types.IPAMPool
	// WatchTrigger is one rule of a service's develop.watch.
	WatchTrigger = types.Trigger
)
