"""Archives as people have them, opened lazily as one array of named axes. So far: NetCDF and HDF5 files."""

from pipeline.archive.locate import locate
from pipeline.archive.netcdf import open_netcdf

__all__ = ["locate", "open_netcdf"]
