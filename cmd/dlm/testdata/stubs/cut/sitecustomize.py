"""Python reads this at its start: a TRL that changes an id on its way to the model."""
import importlib.abc
import importlib.util
import sys


class Patch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "trl.trainer.sft_trainer":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            collate = module.DataCollatorForLanguageModeling.torch_call

            def changed(self, examples):
                out = collate(self, examples)
                out["input_ids"][0, 2] += 1
                return out

            module.DataCollatorForLanguageModeling.torch_call = changed

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Patch())
