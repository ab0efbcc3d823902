package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// options are those of NVIDIA's plugin, read from the same variables of the environment, with the same defaults.
type options struct {
	envvar          bool // DEVICE_LIST_STRATEGY: name the devices in NVIDIA_VISIBLE_DEVICES
	volumeMounts    bool // DEVICE_LIST_STRATEGY: name them by what is mounted
	byIndex         bool // DEVICE_ID_STRATEGY: call them by index, not by UUID
	passDeviceSpecs bool // PASS_DEVICE_SPECS: hand their nodes to the kubelet too
	failOnInitError bool // FAIL_ON_INIT_ERROR: end without a driver, or wait forever
}

// Settings of NVIDIA's plugin that this one does not have. Another value than these is refused, never ignored.
var onlyAs = map[string]string{
	"MIG_STRATEGY":              "none",
	"GDRCOPY_ENABLED":           "false",
	"GDS_ENABLED":               "false",
	"MOFED_ENABLED":             "false",
	"NVIDIA_DRIVER_ROOT":        "/",
	"NVIDIA_DEV_ROOT":           "/",
	"DEVICE_DISCOVERY_STRATEGY": "auto",
	"CONFIG_FILE":               "",
	"MPS_ROOT":                  "",
}

func readOptions() (options, error) {
	var read options
	for name, only := range onlyAs {
		if value := os.Getenv(name); value != "" && value != only {
			return read, fmt.Errorf("found: %s=%s; needed: %q, all that this stand-in does; remedy: leave it out", name, value, only)
		}
	}
	for _, strategy := range strings.Split(setting("DEVICE_LIST_STRATEGY", "envvar"), ",") {
		switch strategy {
		case "envvar":
			read.envvar = true
		case "volume-mounts":
			read.volumeMounts = true
		default:
			return read, fmt.Errorf("found: DEVICE_LIST_STRATEGY=%s; needed: envvar, volume-mounts or both (NVIDIA's plugin "+
				"knows cdi-annotations and cdi-cri too, for which it writes a specification of its own)", strategy)
		}
	}
	switch strategy := setting("DEVICE_ID_STRATEGY", "uuid"); strategy {
	case "uuid":
	case "index":
		read.byIndex = true
	default:
		return read, fmt.Errorf("found: DEVICE_ID_STRATEGY=%s; needed: uuid or index", strategy)
	}
	var err error
	if read.passDeviceSpecs, err = truth("PASS_DEVICE_SPECS", false); err != nil {
		return read, err
	}
	read.failOnInitError, err = truth("FAIL_ON_INIT_ERROR", true)
	return read, err
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func truth(name string, otherwise bool) (bool, error) {
	value, err := strconv.ParseBool(setting(name, strconv.FormatBool(otherwise)))
	if err != nil {
		return false, fmt.Errorf("found: %s=%s; needed: true or false", name, os.Getenv(name))
	}
	return value, nil
}
