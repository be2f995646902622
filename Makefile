.PHONY: run demo test fast
run: ; @bin/run
demo: ; @bin/demo
test: ; @bin/test
fast: ; @bin/test fast
