// Package driver asks libnvidia-ml.so.1 which GPUs this container sees, as NVIDIA's own programs do. Without a driver from
// the runtime a container has no such library.
package driver

import (
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// GPU is one device as the driver describes it.
type GPU struct {
	Index     int
	Minor     int
	UUID      string
	Name      string
	BusID     string
	MemoryMiB uint64
}

// GPUs lists the devices in the driver's order. The library stays open, and with it the kernel's module in use, as long as
// the program runs.
func GPUs(options ...nvml.LibraryOption) ([]GPU, error) {
	library := nvml.New(options...)
	if code := library.Init(); code != nvml.SUCCESS {
		return nil, fmt.Errorf("found: NVML does not start (%v); needed: the host's driver in this container; "+
			"remedy: give the pod the runtime class of NVIDIA's container toolkit", code)
	}
	count, code := library.DeviceGetCount()
	if code != nvml.SUCCESS {
		return nil, fmt.Errorf("count GPUs: %w", code)
	}
	gpus := make([]GPU, 0, count)
	for index := range count {
		gpu, code := read(library, index)
		if code != nvml.SUCCESS {
			return nil, fmt.Errorf("read GPU %d: %w", index, code)
		}
		gpus = append(gpus, gpu)
	}
	return gpus, nil
}

func read(library nvml.Interface, index int) (GPU, nvml.Return) {
	gpu := GPU{Index: index}
	device, code := library.DeviceGetHandleByIndex(index)
	if code != nvml.SUCCESS {
		return gpu, code
	}
	if gpu.Minor, code = device.GetMinorNumber(); code != nvml.SUCCESS {
		return gpu, code
	}
	if gpu.UUID, code = device.GetUUID(); code != nvml.SUCCESS {
		return gpu, code
	}
	if gpu.Name, code = device.GetName(); code != nvml.SUCCESS {
		return gpu, code
	}
	memory, code := device.GetMemoryInfo()
	if code != nvml.SUCCESS {
		return gpu, code
	}
	gpu.MemoryMiB = memory.Total >> 20
	pci, code := device.GetPciInfo()
	gpu.BusID = text(pci.BusId[:])
	return gpu, code
}

// text reads a C string.
func text(characters []int8) string {
	bytes := []byte{}
	for _, character := range characters {
		if character == 0 {
			break
		}
		bytes = append(bytes, byte(character))
	}
	return string(bytes)
}
