"""The columns of the simulated rides that the peers of the benches read."""

TARGET, TIME, KEY = "cancelled", "requested_at", "ride_id"
NUMBERS = [
    "temperature_c",
    "humidity_pct",
    "wind_kmh",
    "precipitation_mm",
    "distance_km",
    "duration_min",
    "traffic_index",
    "speed_kmh",
    "pickup_eta_min",
    "surge",
    "demand_ratio",
    "drivers_nearby",
    "driver_rating",
    "driver_acceptance",
    "rider_rating",
    "rider_rides",
    "rider_cancel_rate",
    "account_age_days",
    "passengers",
    "tolls",
    "discount",
    "fare_total",
]
TIMES = (TIME, "promised_pickup_at", "promised_dropoff_at")
TEXTS = ["pickup_zone", "dropoff_zone", "product", "payment", "weather"]
