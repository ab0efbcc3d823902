package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"qwen-onprem.lab/gpu/internal/driver"
)

func rack(count int) []gpu {
	known := make([]driver.GPU, count)
	for i := range known {
		known[i] = driver.GPU{
			Index: i, UUID: fmt.Sprintf("GPU-%08d", i), Name: "NVIDIA H100 80GB HBM3",
			BusID: fmt.Sprintf("00000000:%02X:00.0", 0x18+i), MemoryMiB: 81559,
		}
	}
	return idle(known)
}

// everything lists all fields that are known.
func everything() []counter {
	listed := []counter{}
	for name := range readings {
		listed = append(listed, counter{name, "gauge", "Text."})
	}
	return listed
}

func do(handler http.Handler, method, path, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(body)))
	return recorder
}

func TestMetricsCarryTheRealNamesAndLabels(t *testing.T) {
	e := &exporter{gpus: rack(8), hostname: "gpu1", listed: everything()}
	text := do(e.public(), "GET", "/metrics", "").Body.String()
	want := `DCGM_FI_DEV_GPU_UTIL{gpu="7",UUID="GPU-00000007",pci_bus_id="00000000:1F:00.0",device="nvidia7",` +
		`modelName="NVIDIA H100 80GB HBM3",Hostname="gpu1"} 0`
	if !strings.Contains(text, want+"\n") {
		t.Fatalf("no line %s in\n%s", want, text)
	}
	for name := range readings {
		if n := strings.Count(text, "\n"+name+"{"); n != 8 {
			t.Errorf("%s: %d series, want 8", name, n)
		}
	}
}

func TestPutReplacesTheReadings(t *testing.T) {
	e := &exporter{gpus: rack(8), hostname: "gpu1", listed: everything()}
	if code := do(e.control(), "PUT", "/gpus", `[{"uuid": "GPU-a", "util_percent": 97}]`).Code; code != 204 {
		t.Fatalf("status %d", code)
	}
	text := do(e.public(), "GET", "/metrics", "").Body.String()
	if !strings.Contains(text, `UUID="GPU-a"`) || !strings.Contains(text, "} 97\n") || strings.Contains(text, "GPU-00000000") {
		t.Fatal(text)
	}
}

func TestAnXIDIsASeriesOfItsOwnWithItsMeaning(t *testing.T) {
	e := &exporter{gpus: rack(1), hostname: "gpu1", listed: []counter{{xidField, "gauge", "Text."}}}
	for body, want := range map[string]string{
		``:                            `Hostname="gpu1",err_code="0",err_msg="No Error"} 0`,
		`[{"uuid": "a", "xid": 79}]`:  `Hostname="gpu1",err_code="79",err_msg="GPU has fallen off the bus"} 79`,
		`[{"uuid": "a", "xid": 999}]`: `Hostname="gpu1",err_code="999",err_msg="Unknown Error"} 999`,
	} {
		e.gpus = rack(1)
		do(e.control(), "PUT", "/gpus", body)
		if text := do(e.public(), "GET", "/metrics", "").Body.String(); !strings.Contains(text, want+"\n") {
			t.Errorf("%s: no %s in\n%s", body, want, text)
		}
	}
}

func TestClocksAndMIGAreReported(t *testing.T) {
	e := &exporter{gpus: rack(1), hostname: "gpu1", listed: everything()}
	idle := do(e.public(), "GET", "/metrics", "").Body.String()
	do(e.control(), "PUT", "/gpus", `[{"uuid": "a", "clocks_event_reasons": 136, "mig_mode": 1}]`)
	busy := do(e.public(), "GET", "/metrics", "").Body.String()
	for field, values := range map[string][2]string{"DCGM_FI_DEV_CLOCKS_EVENT_REASONS": {"1", "136"}, "DCGM_FI_DEV_MIG_MODE": {"0", "1"}} {
		for i, text := range []string{idle, busy} {
			if !regexp.MustCompile(`(?m)^` + field + `\{.*\} ` + values[i] + `$`).MatchString(text) {
				t.Errorf("%s is not %s in\n%s", field, values[i], text)
			}
		}
	}
}

func TestPutRefusesWhatNoGPUReports(t *testing.T) {
	e := &exporter{gpus: rack(1), hostname: "gpu1", listed: everything()}
	for _, body := range []string{``, `[]`, `{}`, `[{"util_percent": 5}]`, `[{"uuid": "a", "util_percent": 101}]`, `[{"uuid": "a", "utl": 1}]`,
		`[{"uuid": "a", "clocks_event_reasons": 512}]`, `[{"uuid": "a", "clocks_event_reasons": 0.5}]`, `[{"uuid": "a", "mig_mode": 2}]`} {
		answer := do(e.control(), "PUT", "/gpus", body)
		if answer.Code != 400 || !strings.Contains(answer.Body.String(), "needed") {
			t.Errorf("%q: status %d, %s", body, answer.Code, answer.Body)
		}
	}
	if e.readings()[0].UUID != "GPU-00000000" {
		t.Error("a refused body changed the readings")
	}
}

func TestControlIsNotOnTheMetricsPort(t *testing.T) {
	if code := do((&exporter{gpus: rack(1)}).public(), "PUT", "/gpus", `[]`).Code; code != 404 {
		t.Fatalf("status %d", code)
	}
}

func TestOnlyListedFieldsAreReported(t *testing.T) {
	listed, err := parseCounters(strings.NewReader("# comment\nDCGM_FI_DEV_GPU_TEMP, gauge, GPU temperature (in C).\n"))
	if err != nil {
		t.Fatal(err)
	}
	e := &exporter{gpus: rack(1), hostname: "gpu1", listed: listed}
	text := do(e.public(), "GET", "/metrics", "").Body.String()
	if !strings.Contains(text, "# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).\n") || strings.Contains(text, "UTIL") {
		t.Fatal(text)
	}
}

func TestAListThatDCGMWouldNotTakeIsRefused(t *testing.T) {
	for _, text := range []string{"DCGM_FI_DEV_GPU_TMP, gauge, text", "DCGM_FI_DEV_GPU_TEMP, gauge", "DCGM_FI_DEV_GPU_TEMP, meter, text"} {
		if _, err := parseCounters(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "needed") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
