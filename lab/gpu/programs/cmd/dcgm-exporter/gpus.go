package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"qwen-onprem.lab/gpu/internal/driver"
)

// gpu is one device's readings, under the names that PUT /gpus takes.
type gpu struct {
	UUID      string  `json:"uuid"`
	Model     string  `json:"model"`
	BusID     string  `json:"pci_bus_id"`
	Util      float64 `json:"util_percent"`
	MemUtil   float64 `json:"mem_copy_util_percent"`
	UsedMiB   float64 `json:"fb_used_mib"`
	FreeMiB   float64 `json:"fb_free_mib"`
	TempC     float64 `json:"temp_c"`
	MemTempC  float64 `json:"mem_temp_c"`
	PowerW    float64 `json:"power_w"`
	SMClock   float64 `json:"sm_clock_mhz"`
	MemClock  float64 `json:"mem_clock_mhz"`
	XID       float64 `json:"xid"`
	NVLinkGBs float64 `json:"nvlink_gb_per_s"`
}

type field struct {
	name, help, kind string
	value            func(gpu) float64
}

// The fields, names and help texts that dcgm-exporter exports by default for data-centre GPUs.
var fields = []field{
	{"DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", "gauge", func(g gpu) float64 { return g.SMClock }},
	{"DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).", "gauge", func(g gpu) float64 { return g.MemClock }},
	{"DCGM_FI_DEV_MEMORY_TEMP", "Memory temperature (in C).", "gauge", func(g gpu) float64 { return g.MemTempC }},
	{"DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", "gauge", func(g gpu) float64 { return g.TempC }},
	{"DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", "gauge", func(g gpu) float64 { return g.PowerW }},
	{"DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", "gauge", func(g gpu) float64 { return g.Util }},
	{"DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).", "gauge", func(g gpu) float64 { return g.MemUtil }},
	{"DCGM_FI_DEV_XID_ERRORS", "Value of the last XID error encountered.", "gauge", func(g gpu) float64 { return g.XID }},
	{"DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).", "gauge", func(g gpu) float64 { return g.FreeMiB }},
	{"DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", "gauge", func(g gpu) float64 { return g.UsedMiB }},
	{"DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "Total number of NVLink bandwidth counters for all lanes.", "counter",
		func(g gpu) float64 { return g.NVLinkGBs }},
}

// reservedMiB is the memory that the driver reserves on an idle H100.
const reservedMiB = 480

// idle returns the driver's GPUs with the readings of idle devices.
func idle(known []driver.GPU) []gpu {
	gpus := make([]gpu, len(known))
	for i, device := range known {
		gpus[i] = gpu{
			UUID: device.UUID, Model: device.Name, BusID: device.BusID,
			UsedMiB: 4, FreeMiB: float64(device.MemoryMiB) - reservedMiB - 4,
			TempC: 31, MemTempC: 38, PowerW: 72, SMClock: 345, MemClock: 2619,
		}
	}
	return gpus
}

// parse reads a full list of readings and refuses what the real exporter could not report.
func parse(body io.Reader) ([]gpu, error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	var gpus []gpu
	if err := decoder.Decode(&gpus); err != nil {
		return nil, fmt.Errorf("found: %w; needed: a JSON list as GET /gpus gives it", err)
	}
	if len(gpus) == 0 {
		return nil, errors.New("found: an empty list; needed: at least one GPU")
	}
	for i, g := range gpus {
		if g.UUID == "" || g.Util < 0 || g.Util > 100 {
			return nil, fmt.Errorf("found: GPU %d with uuid %q and util_percent %v; needed: a uuid and 0 to 100", i, g.UUID, g.Util)
		}
	}
	return gpus, nil
}

// exposition renders the readings in Prometheus' text format with dcgm-exporter's labels.
func exposition(gpus []gpu, hostname string) string {
	var out strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&out, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, f.kind)
		for i, g := range gpus {
			fmt.Fprintf(&out, "%s{gpu=\"%d\",UUID=%q,pci_bus_id=%q,device=\"nvidia%d\",modelName=%q,Hostname=%q} %v\n",
				f.name, i, g.UUID, g.BusID, i, g.Model, hostname, f.value(g))
		}
	}
	return out.String()
}
