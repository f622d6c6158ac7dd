"""Simulated tables to try everything on: ride requests with their quotes, and what soils them."""

from tidemill.samples.ride_files import write_sample
from tidemill.samples.ride_model import CHUNK_ROWS, Calendar, simulate_rides

__all__ = ["CHUNK_ROWS", "Calendar", "simulate_rides", "write_sample"]
