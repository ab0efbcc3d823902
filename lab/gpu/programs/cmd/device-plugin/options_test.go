package main

import (
	"strings"
	"testing"
)

func TestDevicesAreNamedAsTheStrategiesSay(t *testing.T) {
	t.Setenv("DEVICE_LIST_STRATEGY", "envvar,volume-mounts")
	t.Setenv("DEVICE_ID_STRATEGY", "index")
	t.Setenv("PASS_DEVICE_SPECS", "true")
	read, err := readOptions()
	if err != nil {
		t.Fatal(err)
	}
	answer := newPlugin(rack(8), read).allocate(rack(8)[3:5])
	// As in NVIDIA's: mounts replace the variable.
	if got := answer.Envs["NVIDIA_VISIBLE_DEVICES"]; got != "/var/run/nvidia-container-devices" {
		t.Errorf("NVIDIA_VISIBLE_DEVICES=%q", got)
	}
	if len(answer.Mounts) != 2 || answer.Mounts[0].ContainerPath != "/var/run/nvidia-container-devices/3" {
		t.Errorf("mounts %v", answer.Mounts)
	}
	var nodes []string
	for _, device := range answer.Devices {
		nodes = append(nodes, device.HostPath)
	}
	if got := strings.Join(nodes, " "); !strings.HasSuffix(got, "/dev/nvidia4 /dev/nvidia5") {
		t.Errorf("nodes %s", got)
	}
}

func TestTheDefaultsAreNVIDIAs(t *testing.T) {
	read, err := readOptions()
	if want := (options{envvar: true, failOnInitError: true}); err != nil || read != want {
		t.Fatalf("%+v, %v", read, err)
	}
}

func TestASettingThatIsNotKeptIsRefused(t *testing.T) {
	for name, value := range map[string]string{
		"DEVICE_LIST_STRATEGY": "cdi-cri", "DEVICE_ID_STRATEGY": "serial", "PASS_DEVICE_SPECS": "yes please",
		"MIG_STRATEGY": "mixed", "MOFED_ENABLED": "true", "CONFIG_FILE": "/config/config.yaml",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			if _, err := readOptions(); err == nil || !strings.Contains(err.Error(), name) {
				t.Fatalf("error %v", err)
			}
		})
	}
}
