"""Python reads this at its start: a GPU that runs out of memory in the third step."""
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
            import torch

            compute = module.SFTTrainer.compute_loss

            def full(self, *args, **kwargs):
                if self.state.global_step == 2:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 22.05 GiB")
                return compute(self, *args, **kwargs)

            module.SFTTrainer.compute_loss = full

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Patch())
