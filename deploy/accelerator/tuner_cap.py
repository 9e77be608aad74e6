"""Pins FlagGems' tuners to one candidate, as a .pth hook: unpinned, a first signature takes up to 20 s."""
import importlib.abc, importlib.machinery, sys
TARGET = "flag_gems.utils.libentry"
class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        loader = spec.loader
        run = loader.exec_module
        def exec_module(module):
            run(module)
            cls = module.LibTuner
            init = cls.__init__
            def pinned(self, fn, arg_names, configs, *a, **k):
                init(self, fn, arg_names, list(configs)[:1] if configs else configs, *a, **k)
            cls.__init__ = pinned
        loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, _Finder())
