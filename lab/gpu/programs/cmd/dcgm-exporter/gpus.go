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
	// Reasons for lowered clocks as a mask of bits, and whether the GPU may be divided (0 or 1).
	ClockEvents uint16 `json:"clocks_event_reasons"`
	MIG         uint8  `json:"mig_mode"`
	// Counters since the start of the driver.
	ThermalViolation  float64 `json:"thermal_violation"`
	DoubleBitErrors   float64 `json:"double_bit_errors"`
	NVLinkReplays     float64 `json:"nvlink_replays"`
	NVLinkRecoveries  float64 `json:"nvlink_recoveries"`
	PCIeReplays       float64 `json:"pcie_replays"`
	UncorrectableRows float64 `json:"uncorrectable_remapped_rows"`
	CorrectableRows   float64 `json:"correctable_remapped_rows"`
	RowRemapFailure   float64 `json:"row_remap_failure"`
}

// readings are the fields of DCGM that this stand-in knows; the real one refuses names that DCGM does not have.
var readings = map[string]func(gpu) float64{
	"DCGM_FI_DEV_SM_CLOCK":                          func(g gpu) float64 { return g.SMClock },
	"DCGM_FI_DEV_MEM_CLOCK":                         func(g gpu) float64 { return g.MemClock },
	"DCGM_FI_DEV_MEMORY_TEMP":                       func(g gpu) float64 { return g.MemTempC },
	"DCGM_FI_DEV_GPU_TEMP":                          func(g gpu) float64 { return g.TempC },
	"DCGM_FI_DEV_POWER_USAGE":                       func(g gpu) float64 { return g.PowerW },
	"DCGM_FI_DEV_PCIE_REPLAY_COUNTER":               func(g gpu) float64 { return g.PCIeReplays },
	"DCGM_FI_DEV_GPU_UTIL":                          func(g gpu) float64 { return g.Util },
	"DCGM_FI_DEV_MEM_COPY_UTIL":                     func(g gpu) float64 { return g.MemUtil },
	xidField:                                        func(g gpu) float64 { return g.XID },
	"DCGM_FI_DEV_THERMAL_VIOLATION":                 func(g gpu) float64 { return g.ThermalViolation },
	"DCGM_FI_DEV_FB_FREE":                           func(g gpu) float64 { return g.FreeMiB },
	"DCGM_FI_DEV_FB_USED":                           func(g gpu) float64 { return g.UsedMiB },
	"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL":                 func(g gpu) float64 { return g.DoubleBitErrors },
	"DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL":   func(g gpu) float64 { return g.NVLinkReplays },
	"DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL": func(g gpu) float64 { return g.NVLinkRecoveries },
	"DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL":            func(g gpu) float64 { return g.NVLinkGBs },
	"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS":       func(g gpu) float64 { return g.UncorrectableRows },
	"DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS":         func(g gpu) float64 { return g.CorrectableRows },
	"DCGM_FI_DEV_ROW_REMAP_FAILURE":                 func(g gpu) float64 { return g.RowRemapFailure },
	"DCGM_FI_DEV_CLOCKS_EVENT_REASONS":              func(g gpu) float64 { return float64(g.ClockEvents) },
	"DCGM_FI_DEV_MIG_MODE":                          func(g gpu) float64 { return float64(g.MIG) },
}

const (
	xidField = "DCGM_FI_DEV_XID_ERRORS"
	// idleClocks is the reason of a GPU with nothing to do, and allClockEvents are the reasons that DCGM knows.
	idleClocks, allClockEvents = 0x1, 0x1ff
)

// xidMeanings are the texts that the real exporter gives with some XIDs.
var xidMeanings = map[float64]string{
	0: "No Error", 13: "Graphics Engine Exception", 31: "GPU memory page fault", 79: "GPU has fallen off the bus",
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
			TempC: 31, MemTempC: 38, PowerW: 72, SMClock: 345, MemClock: 2619, ClockEvents: idleClocks,
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
		if g.ClockEvents > allClockEvents || g.MIG > 1 {
			return nil, fmt.Errorf("found: GPU %d with clocks_event_reasons %d and mig_mode %d; needed: at most %d and 1",
				i, g.ClockEvents, g.MIG, allClockEvents)
		}
	}
	return gpus, nil
}

// exposition renders the listed fields in Prometheus' text format with dcgm-exporter's labels.
func exposition(listed []counter, gpus []gpu, hostname string) string {
	var out strings.Builder
	for _, c := range listed {
		fmt.Fprintf(&out, "# HELP %s %s\n# TYPE %s %s\n", c.name, c.help, c.name, c.kind)
		for i, g := range gpus {
			fmt.Fprintf(&out, "%s{gpu=\"%d\",UUID=%q,pci_bus_id=%q,device=\"nvidia%d\",modelName=%q,Hostname=%q%s} %v\n",
				c.name, i, g.UUID, g.BusID, i, g.Model, hostname, furtherLabels(c.name, g), readings[c.name](g))
		}
	}
	return out.String()
}

// furtherLabels are the code and the meaning of an XID: each XID is a series of its own.
func furtherLabels(field string, g gpu) string {
	if field != xidField {
		return ""
	}
	meaning, known := xidMeanings[g.XID]
	if !known {
		meaning = "Unknown Error"
	}
	return fmt.Sprintf(",err_code=\"%v\",err_msg=%q", g.XID, meaning)
}
